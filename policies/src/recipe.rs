//! How a value is made: shape, not chance. The bytes are made in the broker.
//!
//! A recipe is written as words (`alphanumeric 40`, `hmac 256 base64`, `ssh rsa-4096`), says how much it is worth
//! ([`Recipe::entropy_bits`]) and what has to be made ([`Recipe::shape`]), so that the broker needs one arm per
//! shape and not one per recipe. The deployers' generators derive no secret of a catalogue from another one and
//! hold no constants, so neither is a recipe here.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How the value of a secret is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Recipe {
    /// `alphanumeric N`: N letters and digits; a longer value would do as well.
    Alphanumeric {
        /// Characters.
        length: u16,
    },
    /// `exactly N`: N letters and digits, where the consumer takes this length and no other (an AES key as text).
    Exactly {
        /// Characters.
        length: u16,
    },
    /// `hex N`: N lower-case hexadecimal digits.
    Hex {
        /// Digits.
        digits: u16,
    },
    /// `uuid4`: a random UUID, lower case with hyphens.
    Uuid4,
    /// `fernet`: 32 bytes in padded URL-safe base64, 44 characters.
    Fernet,
    /// `fernet-repository N`: N Fernet keys, index 0 staged and the highest one primary.
    FernetRepository {
        /// Keys at the start.
        keys: u8,
    },
    /// `cephx`: a 16-byte Ceph key with its header (type 1, time of creation, length) in base64, 40 characters.
    Cephx,
    /// `hmac BITS hex|base64`: a symmetric key (rndc, HMAC), random bytes as text.
    Hmac {
        /// A multiple of 8.
        bits: u16,
        /// How the bytes are written.
        encoding: Encoding,
    },
    /// `ssh rsa-2048|rsa-4096|ed25519`: a key pair, two values.
    Ssh(SshKey),
    /// `bcrypt-salt`: 22 characters that decode to 16 bytes, so that the last one is one of `.Oeu`.
    BcryptSalt,
    /// `erlang-cookie N`: N letters and digits; Erlang holds a cookie as an atom of at most 255 characters.
    ErlangCookie {
        /// Characters.
        length: u16,
    },
    /// `pacemaker-authkey`: 4096 letters and digits, the most that Pacemaker reads.
    PacemakerAuthkey,
    /// `operator`: supplied by a person; never generated, and may be empty.
    Operator,
}

/// What has to be made. Every shape but [`Shape::Operator`] needs random input from the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// This many characters, each drawn evenly from the alphabet (ASCII, no repeats).
    Symbols {
        /// The characters to choose from.
        alphabet: &'static str,
        /// How many to draw.
        length: u16,
    },
    /// This many random bytes, written as text.
    Bytes {
        /// Bytes before encoding.
        count: u16,
        /// How they are written.
        encoding: Encoding,
    },
    /// 16 random bytes with version and variant of RFC 9562 set, lower case with hyphens.
    Uuid4,
    /// 16 random bytes behind the header `<hiih`: 1, seconds since 1970, nanoseconds, 16; then padded base64.
    Cephx,
    /// This many Fernet keys.
    FernetRepository {
        /// Keys, numbered from 0.
        keys: u8,
    },
    /// A private key as PEM without passphrase (RSA: PKCS#8; ed25519: OpenSSH) and its OpenSSH public line.
    SshPair(SshKey),
    /// Nothing: a person puts it.
    Operator,
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Lower-case hexadecimal.
    Hex,
    /// RFC 4648 base64 with padding.
    Base64,
    /// RFC 4648 URL-safe base64 with padding.
    UrlSafeBase64,
    /// bcrypt's base64: `./A-Za-z0-9`, most significant bits first, no padding.
    BcryptBase64,
}

/// The kind of an SSH key pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SshKey {
    /// RSA, modulus of 2048 bits, exponent 65537.
    Rsa2048,
    /// RSA, modulus of 4096 bits, exponent 65537.
    Rsa4096,
    /// Ed25519.
    Ed25519,
}

/// Why the words of a recipe were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// No recipe starts with this word.
    #[error("unknown recipe `{word}`{}", did_you_mean(*nearest))]
    Unknown {
        /// The word.
        word: String,
        /// The recipe that reads most like it.
        nearest: Option<&'static str>,
    },
    /// The recipe is known, its arguments are not as it wants them.
    #[error("`{given}` is not a recipe: write `{form}`")]
    Arguments {
        /// What was written.
        given: String,
        /// How it is written.
        form: &'static str,
    },
    /// A number is too small to be safe or too large for the consumer.
    #[error("`{given}`: the number must be from {least} to {most}")]
    Range {
        /// What was written.
        given: String,
        /// The smallest number allowed.
        least: u16,
        /// The largest number allowed.
        most: u16,
    },
}

impl Recipe {
    /// How hard the value is to guess, in whole bits, rounded down; for RSA the usual estimate of the work to factor.
    /// `None` when a person supplies it.
    pub fn entropy_bits(self) -> Option<u32> {
        match self.shape() {
            Shape::Symbols { alphabet, length } => {
                let bits = f64::from(length) * f64::from(u32::try_from(alphabet.len()).unwrap_or(u32::MAX)).log2();
                Some(bits.floor() as u32)
            }
            Shape::Bytes { count, .. } => Some(u32::from(count) * 8),
            Shape::Uuid4 => Some(122),
            Shape::Cephx => Some(128),
            Shape::FernetRepository { .. } => Some(256),
            Shape::SshPair(SshKey::Rsa2048) => Some(112),
            Shape::SshPair(SshKey::Rsa4096) => Some(140),
            Shape::SshPair(SshKey::Ed25519) => Some(128),
            Shape::Operator => None,
        }
    }

    /// What the broker has to make.
    pub fn shape(self) -> Shape {
        match self {
            Recipe::Alphanumeric { length } | Recipe::Exactly { length } | Recipe::ErlangCookie { length } => {
                Shape::Symbols { alphabet: ALPHANUMERIC, length }
            }
            Recipe::PacemakerAuthkey => Shape::Symbols { alphabet: ALPHANUMERIC, length: AUTHKEY },
            Recipe::Hex { digits } => Shape::Symbols { alphabet: HEX, length: digits },
            Recipe::Uuid4 => Shape::Uuid4,
            Recipe::Fernet => Shape::Bytes { count: 32, encoding: Encoding::UrlSafeBase64 },
            Recipe::FernetRepository { keys } => Shape::FernetRepository { keys },
            Recipe::Cephx => Shape::Cephx,
            Recipe::Hmac { bits, encoding } => Shape::Bytes { count: bits / 8, encoding },
            Recipe::Ssh(key) => Shape::SshPair(key),
            Recipe::BcryptSalt => Shape::Bytes { count: 16, encoding: Encoding::BcryptBase64 },
            Recipe::Operator => Shape::Operator,
        }
    }
}

impl FromStr for Recipe {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, RecipeError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let word = words.first().copied().unwrap_or_default();
        let number = |at: usize, least: u16, most: u16| number(text, words.get(at).copied(), least, most);
        let one = |recipe| if words.len() == 1 { Ok(recipe) } else { Err(arguments(text)) };
        match word {
            "uuid4" => return one(Recipe::Uuid4),
            "fernet" => return one(Recipe::Fernet),
            "cephx" => return one(Recipe::Cephx),
            "bcrypt-salt" => return one(Recipe::BcryptSalt),
            "pacemaker-authkey" => return one(Recipe::PacemakerAuthkey),
            "operator" => return one(Recipe::Operator),
            _ => {}
        }
        match (word, words.len()) {
            ("alphanumeric", 2) => {
                number(1, WEAKEST_ALPHANUMERIC, AUTHKEY).map(|length| Recipe::Alphanumeric { length })
            }
            ("exactly", 2) => number(1, WEAKEST_ALPHANUMERIC, AUTHKEY).map(|length| Recipe::Exactly { length }),
            ("hex", 2) => number(1, WEAKEST_HEX, AUTHKEY).map(|digits| Recipe::Hex { digits }),
            ("fernet-repository", 2) => {
                // Keystone wants a staged and a primary key; 64 is far beyond any `max_active_keys` in use.
                number(1, 2, 64).map(|keys| Recipe::FernetRepository { keys: u8::try_from(keys).unwrap_or(64) })
            }
            ("erlang-cookie", 2) => number(1, 20, 255).map(|length| Recipe::ErlangCookie { length }),
            ("ssh", 2) => match words[1] {
                "rsa-2048" => Ok(Recipe::Ssh(SshKey::Rsa2048)),
                "rsa-4096" => Ok(Recipe::Ssh(SshKey::Rsa4096)),
                "ed25519" => Ok(Recipe::Ssh(SshKey::Ed25519)),
                _ => Err(arguments(text)),
            },
            ("hmac", 3) => {
                let bits = number(1, 128, 512)?;
                let encoding = match words[2] {
                    "hex" => Encoding::Hex,
                    "base64" => Encoding::Base64,
                    _ => return Err(arguments(text)),
                };
                if bits % 8 == 0 { Ok(Recipe::Hmac { bits, encoding }) } else { Err(arguments(text)) }
            }
            _ if FORMS.iter().any(|form| first_word(form) == word) => Err(arguments(text)),
            _ => Err(RecipeError::Unknown { word: word.to_owned(), nearest: nearest_form(word) }),
        }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recipe::Alphanumeric { length } => write!(f, "alphanumeric {length}"),
            Recipe::Exactly { length } => write!(f, "exactly {length}"),
            Recipe::Hex { digits } => write!(f, "hex {digits}"),
            Recipe::Uuid4 => f.write_str("uuid4"),
            Recipe::Fernet => f.write_str("fernet"),
            Recipe::FernetRepository { keys } => write!(f, "fernet-repository {keys}"),
            Recipe::Cephx => f.write_str("cephx"),
            Recipe::Hmac { bits, encoding: Encoding::Hex } => write!(f, "hmac {bits} hex"),
            Recipe::Hmac { bits, encoding: _ } => write!(f, "hmac {bits} base64"),
            Recipe::Ssh(SshKey::Rsa2048) => f.write_str("ssh rsa-2048"),
            Recipe::Ssh(SshKey::Rsa4096) => f.write_str("ssh rsa-4096"),
            Recipe::Ssh(SshKey::Ed25519) => f.write_str("ssh ed25519"),
            Recipe::BcryptSalt => f.write_str("bcrypt-salt"),
            Recipe::ErlangCookie { length } => write!(f, "erlang-cookie {length}"),
            Recipe::PacemakerAuthkey => f.write_str("pacemaker-authkey"),
            Recipe::Operator => f.write_str("operator"),
        }
    }
}

impl TryFrom<String> for Recipe {
    type Error = RecipeError;
    fn try_from(text: String) -> Result<Self, RecipeError> {
        text.parse()
    }
}

impl From<Recipe> for String {
    fn from(recipe: Recipe) -> String {
        recipe.to_string()
    }
}

fn number(given: &str, word: Option<&str>, least: u16, most: u16) -> Result<u16, RecipeError> {
    let digits = word.filter(|w| w.bytes().all(|b| b.is_ascii_digit())).ok_or_else(|| arguments(given))?;
    match digits.parse::<u16>() {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ => Err(RecipeError::Range { given: given.to_owned(), least, most }),
    }
}

fn arguments(given: &str) -> RecipeError {
    let word = first_word(given);
    let form = FORMS.iter().find(|form| first_word(form) == word).copied().unwrap_or_default();
    RecipeError::Arguments { given: given.to_owned(), form }
}

fn nearest_form(word: &str) -> Option<&'static str> {
    let scored = FORMS.iter().map(|form| (strsim::jaro_winkler(first_word(form), word), *form));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, form)| form)
}

fn first_word(form: &str) -> &str {
    form.split_whitespace().next().unwrap_or_default()
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|form| format!("; did you mean `{form}`?")).unwrap_or_default()
}

/// How each recipe is written.
pub const FORMS: [&str; 13] = [
    "alphanumeric LENGTH",
    "exactly LENGTH",
    "hex DIGITS",
    "uuid4",
    "fernet",
    "fernet-repository KEYS",
    "cephx",
    "hmac BITS hex|base64",
    "ssh rsa-2048|rsa-4096|ed25519",
    "bcrypt-salt",
    "erlang-cookie LENGTH",
    "pacemaker-authkey",
    "operator",
];
/// Letters and digits: nothing that a URL, a shell, YAML, INI or oslo.config's `$` would read otherwise.
pub const ALPHANUMERIC: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &str = "0123456789abcdef";
const AUTHKEY: u16 = 4096;
/// The shortest lengths that are worth 64 bits: below that a recipe is a mistake.
const WEAKEST_ALPHANUMERIC: u16 = 11;
const WEAKEST_HEX: u16 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_recipe() -> impl Strategy<Value = Recipe> {
        prop_oneof![
            (11u16..=4096).prop_map(|length| Recipe::Alphanumeric { length }),
            (11u16..=4096).prop_map(|length| Recipe::Exactly { length }),
            (16u16..=4096).prop_map(|digits| Recipe::Hex { digits }),
            (2u8..=64).prop_map(|keys| Recipe::FernetRepository { keys }),
            (20u16..=255).prop_map(|length| Recipe::ErlangCookie { length }),
            ((16u16..=64), prop_oneof![Just(Encoding::Hex), Just(Encoding::Base64)])
                .prop_map(|(bytes, encoding)| Recipe::Hmac { bits: bytes * 8, encoding }),
            prop_oneof![Just(SshKey::Rsa2048), Just(SshKey::Rsa4096), Just(SshKey::Ed25519)].prop_map(Recipe::Ssh),
            prop_oneof![
                Just(Recipe::Uuid4),
                Just(Recipe::Fernet),
                Just(Recipe::Cephx),
                Just(Recipe::BcryptSalt),
                Just(Recipe::PacemakerAuthkey),
                Just(Recipe::Operator)
            ],
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_and_is_worth_64_bits(recipe in any_recipe()) {
            prop_assert_eq!(recipe.to_string().parse::<Recipe>(), Ok(recipe));
            prop_assert!(recipe.entropy_bits().is_none_or(|bits| bits >= 64), "{}", recipe);
            prop_assert_eq!(recipe.entropy_bits().is_none(), recipe == Recipe::Operator);
        }

        #[test]
        fn any_words_are_an_answer_and_never_a_panic(text in "(alphanumeric|hex|hmac|ssh|fernet|\\PC{0,6})( \\PC{0,6}){0,3}") {
            if let Ok(recipe) = text.parse::<Recipe>() {
                prop_assert_eq!(recipe.to_string().parse::<Recipe>(), Ok(recipe));
            }
        }
    }

    #[test]
    fn the_deployers_values_are_worth_what_they_are_said_to_be() {
        let bits = |text: &str| text.parse::<Recipe>().ok().and_then(Recipe::entropy_bits);
        assert_eq!(bits("alphanumeric 40"), Some(238));
        assert_eq!(bits("exactly 32"), Some(190));
        assert_eq!(bits("hex 32"), Some(128));
        assert_eq!(bits("pacemaker-authkey"), Some(24_388));
        assert_eq!(bits("hmac 256 base64"), Some(256));
        assert_eq!(bits("bcrypt-salt"), Some(128));
        assert_eq!(bits("operator"), None);
    }

    #[test]
    fn a_wrong_recipe_says_what_to_write() {
        let message = |text: &str| text.parse::<Recipe>().err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(message("alphanumerc 40"), "unknown recipe `alphanumerc`; did you mean `alphanumeric LENGTH`?");
        assert_eq!(message("alphanumeric"), "`alphanumeric` is not a recipe: write `alphanumeric LENGTH`");
        assert_eq!(message("uuid4 3"), "`uuid4 3` is not a recipe: write `uuid4`");
        assert_eq!(message("alphanumeric 10"), "`alphanumeric 10`: the number must be from 11 to 4096");
        assert_eq!(message("alphanumeric 99999"), "`alphanumeric 99999`: the number must be from 11 to 4096");
        assert_eq!(message("alphanumeric +40"), "`alphanumeric +40` is not a recipe: write `alphanumeric LENGTH`");
        assert_eq!(message("hmac 129 hex"), "`hmac 129 hex` is not a recipe: write `hmac BITS hex|base64`");
        assert_eq!(message(""), "unknown recipe ``");
    }

    #[test]
    fn every_form_is_one_that_reads() {
        for form in FORMS {
            let written = form
                .replace("LENGTH", "40")
                .replace("DIGITS", "32")
                .replace("KEYS", "2")
                .replace("BITS", "256")
                .replace("hex|base64", "hex")
                .replace("rsa-2048|rsa-4096|ed25519", "ed25519");
            assert!(written.parse::<Recipe>().is_ok(), "{written}");
        }
    }
}
