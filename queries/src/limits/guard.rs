//! The allowed SQL: one statement that only reads, of a size that the planner survives.
//!
//! It is checked before planning, and again on the plan ([`verify`]). The session confines it to the lake: it has no
//! file tables, no table factories in reach and no function that opens a file.

use std::ops::ControlFlow;

use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{ObjectName, Select, Statement as SqlStatement, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{EngineError, Refusal};

/// The longest SQL text accepted, in bytes.
pub const SQL_BYTES_MAX: usize = 64 * 1024;
/// Operators in one uninterrupted expression. Such a chain becomes a tree as deep as it is long, and dropping or cloning
/// a deep tree needs stack.
const CHAIN_MAX: usize = 1_000;
/// Joins and set operations of a statement, for the same reason.
const COMBINED_MAX: usize = 200;
/// The deepest nesting of parentheses and subqueries for the parser.
const NESTING_MAX: usize = 50;

const RULE: &str = "queries only read; use one SELECT, WITH, VALUES, EXPLAIN, SHOW or DESCRIBE";

/// Parses and checks a text.
pub(crate) fn parse(sql: &str) -> Result<Statement, Refusal> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(Refusal::TooLong { bytes: sql.len(), limit: SQL_BYTES_MAX });
    }
    // Editors of Windows put a byte order mark before the text of a file.
    let sql = sql.trim_start_matches('\u{feff}');
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize().map_err(|error| syntax(ParserError::from(error).into()))?;
    check_size(&tokens)?;
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&dialect)
        .with_recursion_limit(NESTING_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(syntax)?;
    if statements.len() > 1 {
        return Err(forbidden("more than one statement"));
    }
    let statement = statements.pop_front().ok_or_else(|| forbidden("an empty text"))?;
    check(&statement)?;
    Ok(statement)
}

/// The second check: refuses a plan that would define, change or set anything.
pub(crate) fn verify(plan: &LogicalPlan) -> Result<(), Refusal> {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)
        .map_err(|_| forbidden("this statement"))
}

fn syntax(source: datafusion::error::DataFusionError) -> Refusal {
    Refusal::Syntax(EngineError::new(source))
}

fn forbidden(statement: impl Into<String>) -> Refusal {
    Refusal::Forbidden { statement: statement.into(), rule: RULE }
}

fn check(statement: &Statement) -> Result<(), Refusal> {
    match statement {
        Statement::Explain(explain) => check(&explain.statement),
        Statement::CreateExternalTable(_) => Err(forbidden("CREATE EXTERNAL TABLE")),
        Statement::CopyTo(_) => Err(forbidden("COPY")),
        Statement::Reset(_) => Err(forbidden("RESET")),
        Statement::Statement(statement) => {
            let mut reader = OnlyReads { relations: 0 };
            match statement.visit(&mut reader) {
                ControlFlow::Break(refused) => Err(forbidden(refused)),
                ControlFlow::Continue(()) => limit("tables", reader.relations, COMBINED_MAX, ""),
            }
        }
    }
}

/// Visits a statement with everything inside it; breaks with the name of the refused part.
struct OnlyReads {
    relations: usize,
}

impl Visitor for OnlyReads {
    type Break = String;

    fn pre_visit_statement(&mut self, statement: &SqlStatement) -> ControlFlow<String> {
        match statement {
            SqlStatement::Query(_)
            | SqlStatement::Explain { .. }
            | SqlStatement::ExplainTable { .. }
            | SqlStatement::ShowTables { .. }
            | SqlStatement::ShowColumns { .. }
            | SqlStatement::ShowVariable { .. }
            | SqlStatement::ShowFunctions { .. }
            | SqlStatement::ShowCreate { .. } => ControlFlow::Continue(()),
            other => ControlFlow::Break(leading_word(other)),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        if select.into.is_some() { ControlFlow::Break("SELECT INTO".to_owned()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_relation(&mut self, _: &ObjectName) -> ControlFlow<String> {
        self.relations += 1;
        ControlFlow::Continue(())
    }
}

fn leading_word(statement: &SqlStatement) -> String {
    statement.to_string().split_whitespace().next().unwrap_or("this statement").to_uppercase()
}

/// Computes, without recursion, the possible depth of the syntax tree.
fn check_size(tokens: &[Token]) -> Result<(), Refusal> {
    let mut outer_chains = Vec::new();
    let (mut outer_sum, mut chain, mut longest, mut combined) = (0_usize, 0_usize, 0_usize, 0_usize);
    for token in tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                outer_chains.push(chain);
                outer_sum += chain;
                chain = 0;
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                chain = outer_chains.pop().unwrap_or(0);
                outer_sum -= chain.min(outer_sum);
                // A subscript or call is one more link of the chain before it.
                chain += 1;
            }
            Token::Comma => chain = 0,
            Token::Word(word) if combines(word.keyword) => combined += 1,
            Token::Word(word) => chain += usize::from(links(word.keyword)),
            _ => chain += usize::from(is_operator(token)),
        }
        longest = longest.max(outer_sum + chain);
    }
    limit("operators", longest, CHAIN_MAX, "; write long lists of values as IN (…)")?;
    limit("joins and set operations", combined, COMBINED_MAX, "")
}

fn limit(what: &'static str, count: usize, limit: usize, advice: &'static str) -> Result<(), Refusal> {
    if count > limit { Err(Refusal::TooComplex { what, count, limit, advice }) } else { Ok(()) }
}

fn combines(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::MINUS | Keyword::JOIN)
}

/// Words that extend an expression; `CASE` chains by its `ELSE`.
fn links(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::AND
            | Keyword::OR
            | Keyword::XOR
            | Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::SIMILAR
            | Keyword::BETWEEN
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::DIV
            | Keyword::OVERLAPS
            | Keyword::MEMBER
            | Keyword::OPERATOR
            | Keyword::NOTNULL
            | Keyword::ELSE
            | Keyword::INTERVAL
    )
}

fn is_operator(token: &Token) -> bool {
    !matches!(
        token,
        Token::EOF
            | Token::Number(..)
            | Token::Char(_)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::TripleSingleQuotedString(_)
            | Token::TripleDoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::Placeholder(_)
            | Token::Whitespace(_)
            | Token::SemiColon
            | Token::Period
    )
}

#[cfg(test)]
mod tests;
