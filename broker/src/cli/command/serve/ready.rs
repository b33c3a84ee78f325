//! `donjon serve ready`: the guard before a service's start.

use crate::{
    cli::{Context, command::up::pause, show},
    failure::{Exit, Failure},
};
use clap::Args;
use donjon_drivers::store::RecordPath;
use serde_json::json;
use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Succeed once the reader at a socket answers, and this user may read all that is named. Shows no value.
///
/// For `ExecStartPre=` of a service: it runs as the service's user, so that a service never starts on defaults because
/// the reader is not there yet, is sealed, or does not know it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  donjon serve ready --wait 30\n  donjon serve ready --wait 30 site1/keystone.database.connection"
)]
pub(super) struct Ready {
    /// Records that this user must be able to read, as clients name them below the mount.
    records: Vec<RecordPath>,
    /// The reader's socket.
    #[arg(long, default_value = "/run/donjon-reader/reader.sock", value_name = "FILE")]
    socket: PathBuf,
    /// The mount that clients name.
    #[arg(long, default_value = "donjon")]
    mount: RecordPath,
    /// For how many seconds to ask again while the reader does not answer.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    wait: u32,
}

impl Ready {
    pub(super) fn run(&self, context: &Context) -> Result<(), Failure> {
        let end = Instant::now() + Duration::from_secs(self.wait.into());
        loop {
            match self.ask() {
                Err(failure) if failure.code == Exit::Unavailable && Instant::now() < end => pause(),
                Err(failure) => return Err(failure),
                Ok(()) => break,
            }
        }
        let names: Vec<_> = self.records.iter().map(ToString::to_string).collect();
        show::answer(context.output, &json!({"ready": true, "readable": names}), || "ready\n".to_owned())
    }

    fn ask(&self) -> Result<(), Failure> {
        if self.status("sys/health")? != 200 {
            return Err(self.not_ready("it answers, and cannot read").hint("is its bundle still good? see its log"));
        }
        for record in &self.records {
            let refused = |code, message: String| {
                let hint = "consumers.yaml in the reader's folder says who reads what";
                Err(Failure::new(code, message).state("nothing was started").hint(hint))
            };
            match self.status(&format!("{}/data/{record}", self.mount))? {
                200 => {}
                403 => {
                    let uid = rustix::process::geteuid().as_raw();
                    return refused(Exit::NotAllowed, format!("uid {uid} may not read `{record}`"));
                }
                404 => return refused(Exit::NotThere, format!("there is no record `{record}`")),
                other => return Err(self.not_ready(&format!("it answered {other} for `{record}`"))),
            }
        }
        Ok(())
    }

    /// The status of an answer. Its body, which may hold a value, is not read.
    fn status(&self, path: &str) -> Result<u16, Failure> {
        let asked = || -> io::Result<[u8; 12]> {
            let mut stream = UnixStream::connect(&self.socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            // Names of records hold nothing that HTTP would read otherwise.
            stream.write_all(
                format!("GET /v1/{path} HTTP/1.1\r\nHost: reader\r\nConnection: close\r\n\r\n").as_bytes(),
            )?;
            let mut begin = [0; 12];
            stream.read_exact(&mut begin)?;
            Ok(begin)
        };
        let begin = asked().map_err(|error| self.not_ready("nobody answers there").because(&error))?;
        let status = std::str::from_utf8(&begin).ok().and_then(|text| text.strip_prefix("HTTP/1.1 ")?.parse().ok());
        status.ok_or_else(|| self.not_ready("what answers there is no reader"))
    }

    fn not_ready(&self, cause: &str) -> Failure {
        Failure::new(Exit::Unavailable, format!("the reader at {} is not ready", self.socket.display()))
            .cause(cause)
            .state("nothing was started")
            .hint("`systemctl status donjon-reader`, or the log of `donjon serve`, says why; `--wait` waits for one that starts")
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
