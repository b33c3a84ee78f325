//! A log that others write, read on from where it was read up to: it has no bound, and is looked at often.

use super::line::{Line, Sealed};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, ErrorKind, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

/// How far a log was read.
#[derive(Debug)]
pub struct Following {
    path: PathBuf,
    /// Which file that was.
    inode: Option<u64>,
    /// Up to where, in bytes: the end of a line.
    place: u64,
}

impl Following {
    /// The whole of a log is new at first.
    pub fn of(path: PathBuf) -> Self {
        Self { path, inode: None, place: 0 }
    }

    /// Takes the lines that are there since it was called last. Where another file stands there by now, or a shorter one, all of it is
    /// new; where there is none, there are no lines. What a crash has cut short is none, and a line that is being written is one
    /// of the next time.
    pub fn read(&mut self, take: &mut dyn FnMut(Line)) -> io::Result<()> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let found = file.metadata()?;
        if self.inode != Some(found.ino()) || found.len() < self.place {
            (self.inode, self.place) = (Some(found.ino()), 0);
        }
        file.seek(SeekFrom::Start(self.place))?;
        let mut file = BufReader::new(file);
        let mut bytes = Vec::new();
        while file.read_until(b'\n', &mut bytes)? > 0 && bytes.ends_with(b"\n") {
            self.place += bytes.len() as u64;
            if let Ok(sealed) = serde_json::from_slice::<Sealed>(&bytes) {
                take(sealed.line);
            }
            bytes.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Act, Actor, Log, Outcome},
        *,
    };
    use std::{fs::OpenOptions, io::Write, path::Path};

    fn write(path: &Path, times: usize) {
        let log = Log::open(path).unwrap();
        for _ in 0..times {
            log.record(Actor { uid: 0, pid: 1 }, Act::Login, Vec::new(), Outcome::Done).unwrap();
        }
    }

    #[test]
    fn each_line_is_read_once_and_another_log_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut following = Following::of(path.clone());
        let mut new = || {
            let mut numbers = Vec::new();
            following.read(&mut |line| numbers.push(line.sequence)).unwrap();
            numbers
        };
        assert_eq!(new(), [0; 0], "there is none yet");
        write(&path, 2);
        assert_eq!((new(), new()), (vec![1, 2], vec![]));
        // A line that is half written is one once it is whole.
        let text = std::fs::read(&path).unwrap();
        write(&path, 1);
        let third = std::fs::read(&path).unwrap().split_off(text.len());
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.set_len(text.len() as u64).unwrap();
        file.write_all(&third[..20]).unwrap();
        assert_eq!(new(), [0; 0]);
        file.write_all(&third[20..]).unwrap();
        assert_eq!((new(), new()), (vec![3], vec![]));
        // What a crash cut short keeps no later line from being read.
        file.write_all(b"{\"line\":{\"form").unwrap();
        write(&path, 1);
        assert_eq!(new(), [4]);
        // The log was put aside.
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        std::fs::remove_file(folder.path().join("audit.jsonl.head")).unwrap();
        assert_eq!(new(), [0; 0]);
        write(&path, 1);
        assert_eq!(new(), [1]);
        file.set_len(0).unwrap();
        std::fs::rename(folder.path().join("old"), &path).unwrap();
        assert_eq!(new(), [0; 0], "it is empty now");
    }
}
