//! The objects of a chain: numbered JSON objects, each put once, with the digest of its own content and of its
//! predecessor. Pure.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::error::LakeError;

/// Points at an object of a chain on which another builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Its number.
    pub number: u64,
    /// Its digest.
    pub digest: String,
}

impl Predecessor {
    /// Points at an object that has its digest.
    pub(crate) fn of<T: Numbered>(object: &T) -> Self {
        Self { number: object.number(), digest: object.digest().to_owned() }
    }
}

/// A kind of object of a chain.
pub(crate) trait Numbered: Clone + Serialize + DeserializeOwned {
    /// Its name in messages.
    const NAME: &'static str;
    /// The version of the format that this code writes. It also reads earlier ones.
    const FORMAT: u32;

    /// Its number.
    fn number(&self) -> u64;
    /// The object that it builds on.
    fn previous(&self) -> Option<&Predecessor>;
    /// The batch or task that it commits.
    fn commits(&self) -> Uuid;
    /// SHA-256 in lower-case hex of its JSON with an empty digest.
    fn digest(&self) -> &str;
    /// Where its digest is kept.
    fn digest_mut(&mut self) -> &mut String;
    /// Gives it another number, also in its references to itself.
    fn renumber(&mut self, number: u64);
    /// An error about the object at `path`.
    fn fault(path: String, reason: String) -> LakeError;

    /// Takes the first free number when its own is taken, perhaps by itself with a lost answer. A number is cheap.
    /// `highest` is the highest number in use.
    fn take_free(&mut self, highest: Option<u64>) {
        self.renumber(highest.unwrap_or(self.number()).max(self.number()) + 1);
    }
}

/// Why bytes are not a usable object of a chain. Never quotes their content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentFault {
    /// It was written by a newer version.
    #[error(
        "format {found} is not known to this version (it knows 1 to {known}); use the newer Bluelake that wrote it"
    )]
    UnknownFormat {
        /// The format that the object names.
        found: u64,
        /// The newest format that is known.
        known: u32,
    },
    /// It is not an object of this kind.
    #[error("it is not a {name} ({at})")]
    Malformed {
        /// What it should be.
        name: &'static str,
        /// Where reading ended.
        at: String,
    },
    /// Its digest does not match its content.
    #[error("its digest does not match its content: it was altered after it was written")]
    Altered,
    /// It has another number than its name.
    #[error("it says that it is number {found}")]
    Misplaced {
        /// The number inside.
        found: u64,
    },
}

/// Sets the digest and gives the bytes to store.
pub(crate) fn seal<T: Numbered>(object: &mut T) -> Result<Vec<u8>, serde_json::Error> {
    *object.digest_mut() = computed_digest(object)?;
    serde_json::to_vec_pretty(object)
}

/// Reads and checks a stored object that should have `number`.
pub(crate) fn read<T: Numbered>(bytes: &[u8], number: u64) -> Result<T, DocumentFault> {
    #[derive(Deserialize)]
    struct Version {
        format: u64,
    }
    let malformed = |error: serde_json::Error| DocumentFault::Malformed {
        name: T::NAME,
        at: format!("line {} column {}", error.line(), error.column()),
    };
    let version: Version = serde_json::from_slice(bytes).map_err(malformed)?;
    if !(1..=u64::from(T::FORMAT)).contains(&version.format) {
        return Err(DocumentFault::UnknownFormat { found: version.format, known: T::FORMAT });
    }
    let object: T = serde_json::from_slice(bytes).map_err(malformed)?;
    if computed_digest(&object).map_err(malformed)? != object.digest() {
        return Err(DocumentFault::Altered);
    }
    if object.number() != number {
        return Err(DocumentFault::Misplaced { found: object.number() });
    }
    Ok(object)
}

fn computed_digest<T: Numbered>(object: &T) -> Result<String, serde_json::Error> {
    let mut unsigned = object.clone();
    unsigned.digest_mut().clear();
    Ok(hex(&Sha256::digest(serde_json::to_vec(&unsigned)?)))
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
