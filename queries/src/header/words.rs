//! Closed sets of words, for reading and for messages.

/// Defines the words of a closed set, for reading and for messages.
macro_rules! words {
    ($type:ident, $($word:literal = $variant:ident),+ $(,)?) => {
        impl $type {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];

            pub(crate) fn parse(word: &str) -> Result<Self, String> {
                Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, value)| *value).ok_or_else(|| {
                    let known: Vec<_> = Self::WORDS.iter().map(|(known, _)| *known).collect();
                    format!("{word:?} is not known here; use one of {}", known.join(", "))
                })
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(Self::WORDS.iter().find(|(_, value)| value == self).map_or("", |(word, _)| word))
            }
        }
    };
}

pub(crate) use words;
