//! Answers from memory: values that are kept sealed, each opened in a place that nobody else reads and sent from there.

use super::{
    Daemon,
    lookup::{Caller, Wanted},
};
use crate::{
    audit::{Act, Outcome},
    cache::Found,
    socket::{
        frame::{FrameError, Message, PROTOCOL, length_of_header, length_of_material},
        message::Answer,
    },
};
use donjon_drivers::{material::Material, store::Version};
use serde::Serialize;
use std::time::{Duration, Instant};
use tokio::{io::AsyncWriteExt, net::UnixStream, time::timeout};

/// Whether an answer went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It did.
    Whole,
    /// Not all that was asked for is kept; nothing was sent.
    Nothing,
}

/// An [`Answer::Reply`] in its header, written at one go.
#[derive(Serialize)]
struct Header {
    reply: Reply,
    v: u32,
    materials: usize,
}

#[derive(Serialize)]
struct Reply {
    epoch: u64,
    versions: Vec<Version>,
    created: Vec<i64>,
}

/// Answers, where all of what is asked for is kept and may be answered.
pub async fn answer(
    daemon: &Daemon,
    caller: &Caller,
    wanted: &Wanted,
    stream: &mut UnixStream,
) -> Result<Sent, FrameError> {
    // One that is sealed answers nothing, whatever is still in memory.
    if daemon.backing.sealing().is_some() {
        return Ok(Sent::Nothing);
    }
    let Some(found) = daemon.cache.find(wanted.each(), wanted.pinned, Instant::now()) else {
        return Ok(Sent::Nothing);
    };
    let failed = match daemon.record_about(caller.actor, Act::Read, caller.about(wanted), Outcome::Done) {
        Ok(()) => match timeout(PATIENCE, send(&found, stream)).await {
            Ok(sent) => return sent.map(|()| Sent::Whole),
            Err(_) => return Err(FrameError::Gone),
        },
        Err(failure) => failure,
    };
    Message::new(&Answer::Error(failed), Vec::new())?.send(stream).await?;
    Ok(Sent::Whole)
}

async fn send(found: &Found<'_>, stream: &mut UnixStream) -> Result<(), FrameError> {
    let (versions, created): (Vec<_>, Vec<_>) = found.versions().zip(found.created()).unzip();
    let reply = Reply { epoch: found.epoch, versions, created };
    let header = Header { materials: reply.versions.len(), reply, v: PROTOCOL };
    let header = serde_json::to_vec(&header).map_err(|_| FrameError::Malformed)?;
    let Some(mut place) = found.place() else {
        return in_ordinary_memory(found, &header, stream).await;
    };
    let mut at = 0;
    let length = length_of_header(&header)?;
    if length.len() + header.len() > place.len() {
        stream.write_all(&length).await?;
        stream.write_all(&header).await?;
    } else {
        at = append(&mut place, 0, &length);
        at = append(&mut place, at, &header);
    }
    for (which, room) in found.rooms().enumerate() {
        if at + LENGTH + room > place.len() {
            stream.write_all(&place[..at]).await?;
            at = 0;
        }
        if LENGTH + room > place.len() {
            let value = open(found, which, room)?;
            stream.write_all(&length_of_material(&value)?).await?;
            stream.write_all(value.expose()).await?; // EXPOSE: handed to the kernel, to the peer that was let in
            continue;
        }
        let length = found.open(which, &mut place[at + LENGTH..]).ok_or(FrameError::Malformed)?;
        let bytes = u32::try_from(length).map_err(|_| FrameError::TooLarge)?.to_be_bytes();
        at = append(&mut place, at, &bytes) + length;
    }
    stream.write_all(&place[..at]).await?;
    Ok(())
}

/// While every place is taken, by peers that read slowly.
async fn in_ordinary_memory(found: &Found<'_>, header: &[u8], stream: &mut UnixStream) -> Result<(), FrameError> {
    let mut materials = Vec::new();
    for (which, room) in found.rooms().enumerate() {
        materials.push(open(found, which, room)?);
    }
    Message { header: header.to_vec(), materials }.send(stream).await
}

fn open(found: &Found<'_>, which: usize, room: usize) -> Result<Material, FrameError> {
    let mut bytes = zeroize::Zeroizing::new(vec![0; room]);
    let length = found.open(which, &mut bytes).ok_or(FrameError::Malformed)?;
    Ok(Material::new(bytes[..length].to_vec()))
}

fn append(place: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    place[at..at + bytes.len()].copy_from_slice(bytes);
    at + bytes.len()
}

const LENGTH: usize = 4;
/// How long a peer may take to read an answer.
const PATIENCE: Duration = Duration::from_secs(15);
