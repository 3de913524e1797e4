//! An error and its causes in one line, for logs, reports and the last line of a command.

/// An error and each of its causes in one line without repeats. Code and message replace the XML of S3's answers, and
/// blanks replace line feeds. The AWS SDK's list of its attempts is left out.
#[must_use]
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = one_line(&error.to_string());
        if !text.is_empty() && !parts.iter().any(|before| before.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    parts.join(": ")
}

/// The text of an error in one line, as [`causes`] shows it.
#[must_use]
pub fn one_line(text: &str) -> String {
    let text = without_xml(text);
    let text = text.split_once(" Attempted:\n").map_or(text.as_str(), |(before, _)| before);
    // Blanks inside a line stay as they are: they can be part of a command or a name.
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The text with each error document of S3 replaced by its code and message.
fn without_xml(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = [rest.find("<?xml"), rest.find("<Error>")].into_iter().flatten().min() {
        let (before, document) = rest.split_at(start);
        // A document without an end was cut off: the text ends with it.
        let end = document.find("</Error>").map_or(document.len(), |end| end + "</Error>".len());
        let (document, after) = document.split_at(end);
        result.push_str(before);
        result.push_str(&said(document));
        rest = after;
    }
    result.push_str(rest);
    result
}

/// `Code: Message` of an error document.
fn said(document: &str) -> String {
    let element = |name: &str| {
        let (_, rest) = document.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        Some(unescaped(text.trim())).filter(|text| !text.is_empty())
    };
    // What cannot be read at once is named by its class.
    let class = element("StorageClass").map_or_else(String::new, |class| format!(" (storage class {class})"));
    match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}{class}"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => "an answer without code and message".to_owned(),
    }
}

/// The text with the five entities of XML resolved.
fn unescaped(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::LakeError;

    fn store_fault(source: std::io::Error) -> LakeError {
        LakeError::Store {
            operation: "read",
            path: "x".to_owned(),
            source: object_store::Error::Generic { store: "S3", source: source.into() },
        }
    }

    #[test]
    fn causes_are_printed_once_without_sdk_attempts() {
        let text = causes(&store_fault(std::io::Error::other("no credentials Attempted:\n  Environment: none")));
        assert!(text.starts_with("cannot read 'x': ") && text.ends_with("no credentials"), "{text}");
        assert_eq!(text.matches("no credentials").count(), 1, "{text}");
    }

    #[test]
    fn an_s3_answer_becomes_one_line() {
        let answer = "403 Forbidden: <?xml version=\"1.0\"?>\n<Error>\n<Code>AccessDenied</Code>\
                      <Message>not &lt;you&gt; &amp;\nnobody</Message>\n</Error>\r\n after";
        let text = causes(&store_fault(std::io::Error::other(answer)));
        let expected = "403 Forbidden: AccessDenied: not <you> & nobody after";
        assert!(text.ends_with(expected), "{text}");
        assert!(text.matches("AccessDenied").count() == 1 && !text.contains("<?xml"), "{text}");
    }

    #[test]
    fn an_unreadable_answer_is_reported_as_such() {
        let cases = [
            ("<Error><Code>SlowDown</Code><Mess", "SlowDown"),
            ("500: <?xml version=\"1.0\"?>", "500: an answer without code and message"),
            (
                "<Error><Code>InvalidObjectState</Code><Message>no</Message><StorageClass>GLACIER</StorageClass></Error>",
                "InvalidObjectState: no (storage class GLACIER)",
            ),
            ("a < b and <Errors> are text", "a < b and <Errors> are text"),
            ("two\r\n\n  lines  of text\n", "two lines  of text"),
        ];
        for (text, expected) in cases {
            assert_eq!(one_line(text), expected);
        }
    }
}
