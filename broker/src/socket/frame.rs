//! Frames on the socket: four bytes of length, most significant first, then the bytes.
//!
//! A header frame is a JSON object of at most [`LONGEST_HEADER`] bytes, whose `materials` says how many material frames
//! follow (at most [`MOST_MATERIALS`], each of at most [`LONGEST_MATERIAL`] bytes).

use donjon_drivers::material::Material;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest header, in bytes.
pub const LONGEST_HEADER: usize = 1 << 20;
/// The longest material, in bytes.
pub const LONGEST_MATERIAL: usize = 1 << 20;
/// How much room a header gets before any of it has arrived, in bytes.
const SHORT_HEADER: usize = 1 << 10;
/// The most materials in one message.
pub const MOST_MATERIALS: usize = 4096;

/// One message: its header's JSON text and its materials.
#[derive(Debug)]
pub struct Message {
    /// The JSON text of the header.
    pub header: Vec<u8>,
    /// The values that go with it.
    pub materials: Vec<Material>,
}

/// Why a message could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other end went away.
    #[error("the other end went away")]
    Gone,
    /// The socket failed.
    #[error("the socket failed")]
    Io(#[source] io::Error),
    /// A frame is longer than allowed, or there are too many.
    #[error("a frame is larger than the protocol allows")]
    TooLarge,
    /// The header is not what the protocol asks for.
    #[error("a message is malformed")]
    Malformed,
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        let gone = [io::ErrorKind::UnexpectedEof, io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        if gone.contains(&error.kind()) { Self::Gone } else { Self::Io(error) }
    }
}

#[derive(Deserialize)]
struct Count {
    #[serde(default)]
    materials: usize,
}

impl Message {
    /// A message with a header and its materials. The header's own `materials` is set here.
    pub fn new<T: Serialize>(header: &T, materials: Vec<Material>) -> Result<Self, FrameError> {
        let mut value = serde_json::to_value(header).map_err(|_| FrameError::Malformed)?;
        let object = value.as_object_mut().ok_or(FrameError::Malformed)?;
        object.insert("v".into(), PROTOCOL.into());
        object.insert("materials".into(), materials.len().into());
        Ok(Self { header: value.to_string().into_bytes(), materials })
    }

    /// Reads the header as a type.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, FrameError> {
        serde_json::from_slice(&self.header).map_err(|_| FrameError::Malformed)
    }

    /// Reads a message, blocking.
    pub fn read(from: &mut impl Read) -> Result<Self, FrameError> {
        let mut frame = |longest: usize| {
            let mut length = [0; 4];
            from.read_exact(&mut length)?;
            let mut bytes = vec![0; checked(length, longest)?];
            from.read_exact(&mut bytes)?;
            Ok::<_, FrameError>(bytes)
        };
        let header = frame(LONGEST_HEADER)?;
        let materials =
            (0..count(&header)?).map(|_| frame(LONGEST_MATERIAL).map(Material::new)).collect::<Result<_, _>>()?;
        Ok(Self { header, materials })
    }

    /// Writes a message, blocking.
    pub fn write(&self, to: &mut impl Write) -> Result<(), FrameError> {
        to.write_all(&length(&self.header, LONGEST_HEADER)?)?;
        to.write_all(&self.header)?;
        for material in &self.materials {
            let bytes = material.expose(); // EXPOSE: handed to the kernel, to the peer that was let in
            to.write_all(&length(bytes, LONGEST_MATERIAL)?)?;
            to.write_all(bytes)?;
        }
        Ok(to.flush()?)
    }

    /// Reads a message.
    pub async fn receive(from: &mut (impl AsyncRead + Unpin)) -> Result<Self, FrameError> {
        Self::receive_within(from, LONGEST_HEADER, MOST_MATERIALS).await
    }

    /// Reads a message of at most this much.
    pub async fn receive_within(
        from: &mut (impl AsyncRead + Unpin),
        longest_header: usize,
        most_materials: usize,
    ) -> Result<Self, FrameError> {
        let mut header = Vec::new();
        receive_growing(from, longest_header, &mut header).await?;
        let count = count(&header)?;
        if count > most_materials {
            return Err(FrameError::TooLarge);
        }
        let mut materials = Vec::with_capacity(count);
        for _ in 0..count {
            materials.push(Material::new(receive_frame(from, LONGEST_MATERIAL).await?));
        }
        Ok(Self { header, materials })
    }

    /// Writes a message.
    pub async fn send(&self, to: &mut (impl AsyncWrite + Unpin)) -> Result<(), FrameError> {
        to.write_all(&length(&self.header, LONGEST_HEADER)?).await?;
        to.write_all(&self.header).await?;
        for material in &self.materials {
            let bytes = material.expose(); // EXPOSE: handed to the kernel, to the peer that was let in
            to.write_all(&length(bytes, LONGEST_MATERIAL)?).await?;
            to.write_all(bytes).await?;
        }
        Ok(to.flush().await?)
    }
}

/// What goes before a header.
pub fn length_of_header(header: &[u8]) -> Result<[u8; 4], FrameError> {
    length(header, LONGEST_HEADER)
}

/// What goes before a material.
pub fn length_of_material(material: &Material) -> Result<[u8; 4], FrameError> {
    length(material.expose(), LONGEST_MATERIAL) // EXPOSE: only the length leaves
}

/// A frame that takes as much memory as has arrived of it: who sends four bytes is owed no quarter of a megabyte.
async fn receive_growing(
    from: &mut (impl AsyncRead + Unpin),
    longest: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await?;
    let length = checked(length, longest)?;
    // Most headers come by one reading.
    bytes.reserve(length.min(SHORT_HEADER));
    from.take(length as u64).read_to_end(bytes).await?;
    if bytes.len() == length { Ok(()) } else { Err(FrameError::Gone) }
}

/// A frame that holds a secret, which is not to move while it grows.
async fn receive_frame(from: &mut (impl AsyncRead + Unpin), longest: usize) -> Result<Vec<u8>, FrameError> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await?;
    let mut bytes = vec![0; checked(length, longest)?];
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn checked(length: [u8; 4], longest: usize) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(length) as usize;
    if length > longest { Err(FrameError::TooLarge) } else { Ok(length) }
}

fn length(bytes: &[u8], longest: usize) -> Result<[u8; 4], FrameError> {
    let length = u32::try_from(bytes.len()).map_err(|_| FrameError::TooLarge)?;
    if bytes.len() > longest { Err(FrameError::TooLarge) } else { Ok(length.to_be_bytes()) }
}

fn count(header: &[u8]) -> Result<usize, FrameError> {
    let Count { materials } = serde_json::from_slice(header).map_err(|_| FrameError::Malformed)?;
    if materials > MOST_MATERIALS { Err(FrameError::TooLarge) } else { Ok(materials) }
}

/// The version of the protocol, as `v` in each header.
pub const PROTOCOL: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..5)) {
            let materials = values.iter().cloned().map(Material::new).collect();
            let mut wire = Vec::new();
            Message::new(&serde_json::json!({"op": "x"}), materials).unwrap().write(&mut wire).unwrap();
            let read = Message::read(&mut &wire[..]).unwrap();
            let back: Vec<Vec<u8>> = read.materials.iter().map(|m| m.expose().to_vec()).collect(); // EXPOSE: test values
            prop_assert_eq!(back, values);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::read(&mut &bytes[..]);
        }
    }

    #[tokio::test]
    async fn memory_is_taken_for_what_has_arrived() {
        let sent = Message::new(&serde_json::json!({"op": "x".repeat(100_000)}), Vec::new()).unwrap();
        let mut wire = Vec::new();
        sent.write(&mut wire).unwrap();
        assert_eq!(Message::receive(&mut &wire[..]).await.unwrap().header, sent.header);
        assert!(matches!(Message::receive(&mut &wire[..wire.len() - 1]).await, Err(FrameError::Gone)));
        // Of one who promises the most and sends a little, no more is held than that and some.
        let promise = [&(LONGEST_HEADER as u32).to_be_bytes()[..], &[b' '; 100]].concat();
        let mut held = Vec::new();
        let gone = receive_growing(&mut &promise[..], LONGEST_HEADER, &mut held).await;
        assert!(matches!(gone, Err(FrameError::Gone)));
        assert!((100..4096).contains(&held.capacity()), "{}", held.capacity());
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_memory_is_taken() {
        assert!(matches!(Message::read(&mut &[0xff; 8][..]), Err(FrameError::TooLarge)));
        let many = br#"{"materials":99999999}"#;
        let mut wire = (many.len() as u32).to_be_bytes().to_vec();
        wire.extend_from_slice(many);
        assert!(matches!(Message::read(&mut &wire[..]), Err(FrameError::TooLarge)));
    }
}
