//! A report: a question with a name, parameters and promised columns, and the one SQL statement that answers it.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::header::fault::HeaderFault;
use crate::header::figure::FigureKind;
use crate::header::report::ReportHeader;
use crate::report::error::ReportError;
use crate::report::parameters::ReportParameters;
use crate::report::question::Question;
use crate::report::result::ReportResult;
use crate::session::query_session::QuerySession;

/// One report of the catalogue.
#[derive(Clone, Debug)]
pub struct Report {
    name: String,
    header: ReportHeader,
    sql: String,
    is_cut: bool,
}

impl Report {
    /// Reads a report from the text of its file; checks that header and SQL name the same parameters.
    pub(crate) fn parse(name: &str, file: &str, text: &str) -> Result<Self, HeaderFault> {
        // Editors of Windows put a byte order mark before the text.
        let text = text.trim_start_matches('\u{feff}');
        let header = ReportHeader::parse(file, text)?;
        let tokens = check_placeholders(file, text, &header)?;
        let is_cut = is_cut(&tokens, &header);
        if is_cut && header.figures.iter().any(|figure| figure.kind == FigureKind::Sum) {
            let fault = "a sum in figures is of all rows, and this report keeps only some of them".to_owned();
            return Err(HeaderFault { file: file.to_owned(), line: 1, fault });
        }
        Ok(Self { name: name.to_owned(), is_cut, header, sql: text.to_owned() })
    }

    /// The name by which the report is run: its file's, without the ending.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The description of the report.
    pub fn header(&self) -> &ReportHeader {
        &self.header
    }

    /// The text of the file.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The report's question with values for its parameters; missing values have their defaults.
    ///
    /// # Errors
    /// [`ReportError::UnknownParameter`] and [`ReportError::Parameter`].
    pub fn question(&self, parameters: &ReportParameters) -> Result<Question<'_>, ReportError> {
        let parameters = parameters.resolve(&self.name, &self.header.parameters)?;
        Ok(Question::new(self, parameters))
    }

    /// Runs the report.
    ///
    /// # Errors
    /// Those of [`Report::question`] before anything runs, and of [`crate::report::question::Asked::answer`].
    pub async fn run(
        &self,
        session: &QuerySession,
        parameters: &ReportParameters,
    ) -> Result<ReportResult, ReportError> {
        self.question(parameters)?.put(session).answer().await
    }

    /// Whether the result may lack rows of its kind.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Refuses a result without the columns of the header.
    pub(crate) fn check_columns(&self, schema: &SchemaRef) -> Result<(), ReportError> {
        let found: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let declared: Vec<String> = self.header.columns.iter().map(|column| column.name.clone()).collect();
        if found == declared {
            Ok(())
        } else {
            Err(ReportError::Columns { report: self.name.clone(), found, declared })
        }
    }
}

/// Checks that every `$name` in the SQL is declared, and every declared parameter is used.
fn check_placeholders(file: &str, text: &str, header: &ReportHeader) -> Result<Vec<Token>, HeaderFault> {
    let fault = |line: usize, fault: String| HeaderFault { file: file.to_owned(), line, fault };
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| fault(usize::try_from(error.location.line).unwrap_or(1), error.message))?;
    let mut used = BTreeSet::new();
    for token in &tokens {
        if let Token::Placeholder(placeholder) = &token.token {
            let name = placeholder.trim_start_matches('$').to_owned();
            if !header.parameters.iter().any(|parameter| parameter.name == name) {
                let line = usize::try_from(token.span.start.line).unwrap_or(1);
                return Err(fault(line, format!("the SQL uses {placeholder}, which the header does not declare")));
            }
            used.insert(name);
        }
    }
    match header.parameters.iter().find(|parameter| !used.contains(&parameter.name)) {
        Some(unused) => Err(fault(1, format!("the SQL does not use the parameter {}", unused.name))),
        None => Ok(tokens.into_iter().map(|token| token.token).collect()),
    }
}

/// Whether the result may lack rows: by its last rank, or by a word that keeps only some rows.
fn is_cut(tokens: &[Token], header: &ReportHeader) -> bool {
    let cuts = [Keyword::LIMIT, Keyword::FETCH, Keyword::QUALIFY, Keyword::OFFSET];
    let has_cut = tokens.iter().any(|token| matches!(token, Token::Word(word) if cuts.contains(&word.keyword)));
    has_cut || header.parameters.iter().any(|parameter| parameter.name == "top")
}

#[cfg(test)]
mod tests;
