//! One value: from a recipe to a `SecretValue`.

use super::{
    chance::{Chance, ChanceError},
    ssh, text,
};
use donjon_drivers::store::secret::SecretValue;
use donjon_policies::recipe::{Recipe, Shape};

/// Why no value was made. Never holds bytes of one.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// There is no chance to be had.
    #[error("no random bytes")]
    Chance(#[from] ChanceError),
    /// A person has to supply the value.
    #[error("a person supplies this value")]
    Operator,
    /// The cryptographic library refused to make or to read back a key.
    #[error("the cryptographic library made no usable {0}")]
    Key(&'static str),
    /// Random numbers without end held no two primes, so they are not random.
    #[error("no two primes were found in so many random numbers that these cannot be random")]
    NoPrimes,
    /// The thread that made a key ended before it had one.
    #[error("the thread that made the key ended early")]
    Interrupted,
    /// The value could not be written as text.
    #[error("the value cannot be written as text")]
    Encoding,
}

/// Makes a value. `now` is in seconds since 1970; a cephx key carries it.
///
/// An RSA pair takes a good quarter of a second: do not call this on an asynchronous thread.
pub fn make(recipe: Recipe, chance: &dyn Chance, now: i64) -> Result<SecretValue, GenerationError> {
    Ok(SecretValue::Whole(match recipe.shape() {
        Shape::Symbols { alphabet, length } => text::symbols(chance, alphabet, usize::from(length))?,
        Shape::Bytes { count, encoding } => text::bytes(chance, usize::from(count), encoding)?,
        Shape::Uuid4 => text::uuid4(chance)?,
        Shape::Cephx => text::cephx(chance, now)?,
        Shape::FernetRepository { keys } => text::fernet_repository(chance, keys)?,
        Shape::SshPair(kind) => return ssh::pair(kind, chance),
        Shape::Operator => return Err(GenerationError::Operator),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::System;
    use base64::{
        Engine,
        engine::general_purpose::{STANDARD, URL_SAFE},
    };
    use donjon_policies::recipe::{ALPHANUMERIC, Encoding, SshKey};
    use proptest::prelude::*;

    const NOW: i64 = 1_780_000_000;

    /// Bytes that count up, so that what is made of them is known.
    struct Counting;
    impl Chance for Counting {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), ChanceError> {
            bytes.iter_mut().enumerate().for_each(|(i, byte)| *byte = i as u8);
            Ok(())
        }
    }

    struct Nothing;
    impl Chance for Nothing {
        fn fill(&self, _: &mut [u8]) -> Result<(), ChanceError> {
            Err(ChanceError { source: "none left".into() })
        }
    }

    fn text(recipe: &str, chance: &dyn Chance) -> String {
        let value = make(recipe.parse().unwrap(), chance, NOW).unwrap();
        value.material().expose_text().unwrap().to_owned() // EXPOSE: a test value
    }

    fn made(recipe: &str) -> String {
        text(recipe, &System)
    }

    fn any_text_recipe() -> impl Strategy<Value = Recipe> {
        prop_oneof![
            (11u16..=300).prop_map(|length| Recipe::Alphanumeric { length }),
            (11u16..=300).prop_map(|length| Recipe::Exactly { length }),
            (20u16..=255).prop_map(|length| Recipe::ErlangCookie { length }),
            (16u16..=300).prop_map(|digits| Recipe::Hex { digits }),
            ((16u16..=64), prop_oneof![Just(Encoding::Hex), Just(Encoding::Base64)])
                .prop_map(|(bytes, encoding)| Recipe::Hmac { bits: bytes * 8, encoding }),
            (2u8..=64).prop_map(|keys| Recipe::FernetRepository { keys }),
            prop_oneof![
                Just(Recipe::Uuid4),
                Just(Recipe::Fernet),
                Just(Recipe::Cephx),
                Just(Recipe::BcryptSalt),
                Just(Recipe::PacemakerAuthkey)
            ],
        ]
    }

    proptest! {
        #[test]
        fn every_value_has_its_alphabet_its_length_and_its_worth(recipe in any_text_recipe()) {
            let text = text(&recipe.to_string(), &System);
            let drawn = |alphabet: &str, length: u16| text.len() == usize::from(length) && text.chars().all(|c| alphabet.contains(c));
            let decoded_bits = match recipe.shape() {
                Shape::Symbols { alphabet, length } => {
                    prop_assert!(drawn(alphabet, length));
                    (f64::from(length) * (alphabet.len() as f64).log2()).floor() as usize
                }
                Shape::Bytes { encoding: Encoding::Hex, .. } => hex::decode(&text).unwrap().len() * 8,
                Shape::Bytes { encoding: Encoding::Base64, .. } => STANDARD.decode(&text).unwrap().len() * 8,
                Shape::Bytes { encoding: Encoding::UrlSafeBase64, .. } => URL_SAFE.decode(&text).unwrap().len() * 8,
                Shape::Bytes { encoding: Encoding::BcryptBase64, .. } => {
                    prop_assert!(drawn("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 22));
                    prop_assert!(text.ends_with(['.', 'O', 'e', 'u']), "spare bits must be zero");
                    128
                }
                Shape::Uuid4 => {
                    let uuid = uuid::Uuid::parse_str(&text).unwrap();
                    prop_assert_eq!(uuid.hyphenated().to_string(), text);
                    prop_assert_eq!((uuid.get_version_num(), uuid.get_variant()), (4, uuid::Variant::RFC4122));
                    122
                }
                Shape::Cephx => {
                    prop_assert_eq!(text.len(), 40);
                    (STANDARD.decode(&text).unwrap().len() - 12) * 8
                }
                Shape::FernetRepository { keys } => {
                    let map: std::collections::BTreeMap<u8, String> = serde_json::from_str(&text).unwrap();
                    prop_assert!(map.keys().copied().eq(0..keys));
                    let distinct: std::collections::BTreeSet<&String> = map.values().collect();
                    prop_assert_eq!(distinct.len(), usize::from(keys));
                    map.values().map(|key| URL_SAFE.decode(key).unwrap().len() * 8).min().unwrap_or(0)
                }
                Shape::SshPair(_) | Shape::Operator => unreachable!("not drawn above"),
            };
            prop_assert_eq!(Some(decoded_bits as u32), recipe.entropy_bits());
        }
    }

    #[test]
    fn known_bytes_make_known_values() {
        assert_eq!(text("uuid4", &Counting), "00010203-0405-4607-8809-0a0b0c0d0e0f");
        assert_eq!(text("hmac 128 hex", &Counting), "000102030405060708090a0b0c0d0e0f");
        assert_eq!(text("fernet", &Counting), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        assert_eq!(text("alphanumeric 63", &Counting), format!("{ALPHANUMERIC}A"), "62 and 63 are drawn again");
        assert_eq!(text("bcrypt-salt", &Counting), "..CA.uOD/eaGAOmJB.yMBu");
    }

    #[test]
    fn a_cephx_key_begins_with_its_header() {
        let raw = STANDARD.decode(made("cephx")).unwrap();
        assert_eq!(raw[..2], 1_i16.to_le_bytes());
        assert_eq!(raw[2..6], (NOW as u32).to_le_bytes());
        assert_eq!(raw[6..10], [0; 4]);
        assert_eq!(raw[10..12], 16_i16.to_le_bytes());
        assert_eq!(raw.len(), 28);
    }

    #[test]
    fn a_million_values_are_all_different_and_evenly_drawn() {
        let mut seen = Vec::with_capacity(1_000_000);
        let mut counts = [0_u64; 256];
        for _ in 0..1_000_000 {
            let text = made("alphanumeric 40");
            text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
            seen.push(u128::from_le_bytes(text.as_bytes()[..16].try_into().unwrap()));
        }
        seen.sort_unstable();
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "two values begin with the same 16 characters");
        let expected = 40_000_000.0 / 62.0;
        let of = |c: char| counts[c as usize] as f64;
        let chi_square: f64 = ALPHANUMERIC.chars().map(|c| (of(c) - expected).powi(2) / expected).sum();
        // 61 degrees of freedom: an even source passes 127 less than once in a million runs. `% 62` gives over 700,000.
        assert!(chi_square < 127.0, "chi-square {chi_square:.1}");
        // And not too even either, as a counter would be.
        assert!(chi_square > 20.0, "chi-square {chi_square:.1}");
    }

    #[test]
    fn without_chance_there_is_no_value() {
        for recipe in ["alphanumeric 40", "fernet", "uuid4", "cephx", "fernet-repository 2", "ssh ed25519"] {
            let error = make(recipe.parse().unwrap(), &Nothing, NOW).unwrap_err();
            assert!(matches!(error, GenerationError::Chance(_)), "{recipe}: {error}");
        }
        assert!(matches!(make(Recipe::Operator, &System, NOW), Err(GenerationError::Operator)));
    }

    #[test]
    fn key_pairs_belong_together() {
        for kind in [SshKey::Ed25519, SshKey::Rsa2048] {
            let SecretValue::Pair { private, public } = make(Recipe::Ssh(kind), &System, NOW).unwrap() else {
                panic!("a pair was asked for")
            };
            let pem = private.expose_text().unwrap(); // EXPOSE: a test value
            let read = ssh_key::PublicKey::from_openssh(&public).unwrap();
            match kind {
                SshKey::Ed25519 => {
                    assert!(pem.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n") && pem.ends_with("-----\n"));
                    assert_eq!(
                        ssh_key::PrivateKey::from_openssh(pem).unwrap().public_key().key_data(),
                        read.key_data()
                    );
                }
                SshKey::Rsa2048 | SshKey::Rsa4096 => {
                    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n") && pem.ends_with("-----\n"));
                    assert!(public.starts_with("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ"), "{public}");
                }
            }
            assert_eq!(public.lines().count(), 1);
        }
    }
}
