//! Bytes of a checkpoint document.

use bluelake_lake::CheckpointDocument;

/// Reads a document, as it is and under a matching digest. An accepted document is written as it was read and reads
/// back the same, and its methods do not panic.
///
/// # Panics
/// When that does not hold.
pub fn documents(data: &[u8]) {
    if let Ok(document) = CheckpointDocument::read(data, 1) {
        look_at(&document);
    }
    if let Ok(mut document) = serde_json::from_slice::<CheckpointDocument>(data) {
        let sealed = document.seal().expect("a document is JSON");
        if let Ok(document) = CheckpointDocument::read(&sealed, document.head.number) {
            look_at(&document);
        }
    }
}

fn look_at(document: &CheckpointDocument) {
    let again = serde_json::to_vec(document).expect("a document is JSON");
    let reread = CheckpointDocument::read(&again, document.head.number);
    assert_eq!(reread.unwrap_or_else(|fault| panic!("its own bytes are refused: {fault}")), *document);
    assert!(document.watermark(None).is_none() || !document.shards.is_empty());
    let _ = document.expected_rows();
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [include_str!("../seeds/document.json"), "{}", r#"{"format":3}"#].map(|text| text.as_bytes().to_vec()).to_vec()
}
