//! JSON written into a buffer of exactly its size, so that no secret is left behind where a buffer grew.

use serde::Serialize;
use std::io;
use zeroize::Zeroizing;

/// The JSON text of a value, wiped when dropped.
pub(crate) fn exact<T: Serialize>(value: &T) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let mut size = Count(0);
    serde_json::to_writer(&mut size, value)?;
    let mut json = Zeroizing::new(Vec::with_capacity(size.0));
    serde_json::to_writer(&mut *json, value)?;
    Ok(json)
}

struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
