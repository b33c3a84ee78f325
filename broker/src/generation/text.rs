//! Values that are text: letters evenly drawn, bytes written in hex or base64, UUIDs, cephx keys, key repositories.

use super::{
    chance::{Chance, ChanceError},
    value::GenerationError,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use donjon_drivers::material::Material;
use donjon_policies::recipe::Encoding;
use zeroize::Zeroizing;

/// `length` characters, each drawn evenly from an ASCII alphabet of 2 to 128 characters without repeats.
pub fn symbols(chance: &dyn Chance, alphabet: &str, length: usize) -> Result<Material, ChanceError> {
    let alphabet = alphabet.as_bytes();
    // Bits above the alphabet are cut off and what still lies outside is drawn again: a remainder would favour the
    // first characters.
    let mask = alphabet.len().next_power_of_two() - 1;
    let mut text = Vec::with_capacity(length);
    let mut drawn = Zeroizing::new([0_u8; DRAWN_AT_ONCE]);
    while text.len() < length {
        chance.fill(&mut *drawn)?;
        let fitting = drawn.iter().filter_map(|byte| alphabet.get(usize::from(*byte) & mask));
        text.extend(fitting.take(length - text.len()));
    }
    Ok(Material::new(text))
}

/// `count` random bytes, written as text.
pub fn bytes(chance: &dyn Chance, count: usize, encoding: Encoding) -> Result<Material, GenerationError> {
    let mut raw = Zeroizing::new(vec![0; count]);
    chance.fill(&mut raw)?;
    encode(&raw, encoding)
}

/// A random UUID, lower case with hyphens.
pub fn uuid4(chance: &dyn Chance) -> Result<Material, ChanceError> {
    let mut raw = [0; 16];
    chance.fill(&mut raw)?;
    let uuid = uuid::Builder::from_random_bytes(raw).into_uuid();
    let mut text = vec![0; uuid::fmt::Hyphenated::LENGTH];
    uuid.hyphenated().encode_lower(&mut text);
    Ok(Material::new(text))
}

/// A Ceph key: the header `<hiih` (type 1, seconds since 1970, nanoseconds, length) and 16 bytes, in base64.
pub fn cephx(chance: &dyn Chance, now: i64) -> Result<Material, GenerationError> {
    let mut raw = Zeroizing::new([0; CEPHX_HEADER + CEPHX_KEY]);
    // Ceph keeps the seconds in 32 bits without a sign; a clock beyond 2106 only wraps what is never compared.
    let seconds = (now & i64::from(u32::MAX)) as u32;
    raw[0..2].copy_from_slice(&1_i16.to_le_bytes());
    raw[2..6].copy_from_slice(&seconds.to_le_bytes());
    raw[10..12].copy_from_slice(&(CEPHX_KEY as i16).to_le_bytes());
    chance.fill(&mut raw[CEPHX_HEADER..])?;
    encode(&*raw, Encoding::Base64)
}

/// Fernet keys numbered from 0, as a JSON object of number to key: 0 is staged, the highest is primary.
pub fn fernet_repository(chance: &dyn Chance, keys: u8) -> Result<Material, GenerationError> {
    // Each entry is `"63":"<44 characters>",`: room for all of them, so that the buffer never moves.
    let mut json = Vec::with_capacity(2 + usize::from(keys) * 52);
    for number in 0..keys {
        let key = bytes(chance, 32, Encoding::UrlSafeBase64)?;
        json.extend_from_slice(if number == 0 { b"{" } else { b"," });
        json.extend_from_slice(format!("\"{number}\":\"").as_bytes());
        json.extend_from_slice(key.expose()); // EXPOSE: copied into the repository, which becomes Material
        json.push(b'"');
    }
    json.push(b'}');
    Ok(Material::new(json))
}

fn encode(raw: &[u8], encoding: Encoding) -> Result<Material, GenerationError> {
    Ok(match encoding {
        Encoding::Hex => {
            let mut text = vec![0; raw.len() * 2];
            hex::encode_to_slice(raw, &mut text).map_err(|_| GenerationError::Encoding)?;
            Material::new(text)
        }
        Encoding::Base64 => base64_with(&STANDARD, raw)?,
        Encoding::UrlSafeBase64 => base64_with(&URL_SAFE, raw)?,
        Encoding::BcryptBase64 => {
            base64_with(&base64::engine::GeneralPurpose::new(&base64::alphabet::BCRYPT, BARE), raw)?
        }
    })
}

fn base64_with(engine: &impl Engine, raw: &[u8]) -> Result<Material, GenerationError> {
    let mut text = vec![0; raw.len().div_ceil(3) * 4];
    let length = engine.encode_slice(raw, &mut text).map_err(|_| GenerationError::Encoding)?;
    text.truncate(length);
    Ok(Material::new(text))
}

const BARE: base64::engine::GeneralPurposeConfig = base64::engine::general_purpose::NO_PAD;
const DRAWN_AT_ONCE: usize = 64;
const CEPHX_HEADER: usize = 12;
const CEPHX_KEY: usize = 16;
