//! The calling end of the socket. It blocks, so that a short command needs no runtime.

use super::{
    frame::{FrameError, Message},
    message::{Answer, Event, Piece, Request},
    peer,
};
use crate::{
    failure::{Exit, Failure},
    home::Home,
};
use donjon_drivers::material::Material;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType,
    sockopt::{Timeout, set_socket_timeout},
};
use serde_json::Value;
use std::{
    io::{self, BufReader, BufWriter, ErrorKind, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
    time::{Duration, Instant},
};

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    /// The home whose own socket is not there, where others read at the lookup socket and nobody has said which home is meant.
    instead: Option<Home>,
    /// When it is waited for no longer.
    until: Option<Instant>,
}

/// What the daemon answered.
#[derive(Debug)]
pub struct Reply {
    /// The JSON part.
    pub value: Value,
    /// The values.
    pub materials: Vec<Material>,
}

impl Client {
    /// Connects to the daemon of a home, refusing a socket that neither this user nor root owns.
    pub fn connect(home: &Home) -> Result<Self, Failure> {
        let path = home.socket_to_ask();
        let instead = (path != home.socket()).then(|| home.clone());
        let client = Self::at(&path).map_err(|failure| home.told(failure))?;
        Ok(Self { instead, ..client })
    }

    /// Connects to the daemon that listens at this socket.
    pub fn at(path: &Path) -> Result<Self, Failure> {
        Self::over(path, UnixStream::connect(path), None)
    }

    /// As [`Client::at`]; connecting and all that is asked then end by this moment, however slowly an answer comes.
    pub fn at_until(path: &Path, until: Instant) -> Result<Self, Failure> {
        Self::over(path, connected(path, until), Some(until))
    }

    fn over(path: &Path, stream: io::Result<UnixStream>, until: Option<Instant>) -> Result<Self, Failure> {
        let stream = stream.map_err(|error| not_reached(path, &error))?;
        // Who listens, not whose the path is: that may lead elsewhere by now.
        let owner = peer::user(stream.as_fd()).map_err(|error| not_reached(path, &error))?;
        let own = rustix::process::geteuid().as_raw();
        if owner != own && owner != 0 {
            return Err(Failure::new(
                Exit::NotAllowed,
                format!("the socket {} belongs to uid {owner}", path.display()),
            )
            .state("nothing was asked")
            .hint("DONJON_HOME or DONJON_SOCKET names another user's daemon"));
        }
        Ok(Self { stream, instead: None, until })
    }

    /// Asks, tells each event, and returns the reply.
    pub fn ask(
        &mut self,
        request: &Request,
        materials: Vec<Material>,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Reply, Failure> {
        self.exchange(request, materials, tell, &mut |_, _| Err(broken(FrameError::Malformed)))
    }

    /// As [`Client::ask`], for what is answered by a file, whose bytes are taken as they come. They are the whole file only
    /// where there is a reply.
    pub fn ask_for_file(
        &mut self,
        request: &Request,
        tell: &mut dyn FnMut(Event),
        take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Reply, Failure> {
        let (mut taken, mut whole) = (0, 0);
        let reply = self.exchange(request, Vec::new(), tell, &mut |Piece { of }, piece| {
            (taken, whole) = (taken + piece.len() as u64, of);
            take(piece.expose()) // EXPOSE: a file that is asked for is encrypted
        })?;
        // A daemon from before there were pieces sends none.
        if whole > 0 && taken == whole { Ok(reply) } else { Err(broken(FrameError::Malformed)) }
    }

    fn exchange(
        &mut self,
        request: &Request,
        materials: Vec<Material>,
        tell: &mut dyn FnMut(Event),
        take: &mut dyn FnMut(Piece, &Material) -> Result<(), Failure>,
    ) -> Result<Reply, Failure> {
        let told = |failure: Failure| match &self.instead {
            Some(home) if failure.code == Exit::NotAllowed => home.by_default(failure),
            Some(_) | None => failure,
        };
        // Told here: the other end cuts what is too long for it, which says nothing of why.
        if self.instead.is_some() && !matches!(request, Request::Read { version: None, .. }) {
            return Err(told(only_reading()));
        }
        let line = || Line { stream: &self.stream, until: self.until };
        Message::new(request, materials).and_then(|m| m.write(&mut BufWriter::new(line()))).map_err(broken)?;
        let mut reader = BufReader::new(line());
        loop {
            let message = Message::read(&mut reader).map_err(broken)?;
            match (message.parse::<Answer>().map_err(broken)?, &message.materials[..]) {
                (Answer::Event(event), _) => tell(event),
                (Answer::Piece(piece), [bytes]) => take(piece, bytes)?,
                (Answer::Piece(_), _) => return Err(broken(FrameError::Malformed)),
                (Answer::Reply(value), _) => return Ok(Reply { value, materials: message.materials }),
                (Answer::Error(failure), _) => return Err(told(failure)),
            }
        }
    }

    /// As [`Client::ask`], for what is answered at once.
    pub fn ask_quietly(&mut self, request: &Request, materials: Vec<Material>) -> Result<Reply, Failure> {
        self.ask(request, materials, &mut |_| ())
    }

    /// The connection, for whoever hangs up while another waits for an answer.
    pub fn line(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// Gives up when the daemon is silent for longer.
    pub fn give_up_after(&self, silence: Duration) -> Result<(), Failure> {
        let refused =
            |error: io::Error| Failure::new(Exit::Bug, "cannot set the time-out of the socket").because(&error);
        self.stream.set_read_timeout(Some(silence)).map_err(refused)
    }
}

/// What a connection carries, waited for until a moment.
struct Line<'a> {
    stream: &'a UnixStream,
    until: Option<Instant>,
}

impl Read for Line<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Some(until) = self.until {
            self.stream.set_read_timeout(Some(left(until)?))?;
        }
        Read::read(&mut self.stream, into)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        if let Some(until) = self.until {
            self.stream.set_write_timeout(Some(left(until)?))?;
        }
        Write::write(&mut self.stream, from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Write::flush(&mut self.stream)
    }
}

/// A connection to a socket. The kernel lets who connects wait where many do already, for as long as it may send.
fn connected(path: &Path, until: Instant) -> io::Result<UnixStream> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(left(until)?))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// What is said where the daemon, or the way to it, ends in the middle of an answer.
pub const BROKEN_OFF: &str = "the daemon did not answer to the end";

fn broken(error: FrameError) -> Failure {
    Failure::new(Exit::Unavailable, BROKEN_OFF)
        .because(&error)
        .state("whether it did what was asked is not known")
        .hint("`donjon status` says how things are")
}

/// Of the lookup socket, where something else is asked than what it is for.
pub fn only_reading() -> Failure {
    Failure::new(Exit::NotAllowed, "this socket is for reading newest values")
        .state("nothing was done")
        .hint("everything else is for the user that ran `donjon up`, at the daemon's own socket")
}

fn not_reached(path: &Path, error: &io::Error) -> Failure {
    let place = path.display();
    let known = |kind| error.kind() == kind;
    match () {
        () if known(ErrorKind::NotFound) => Failure::new(Exit::Unavailable, "donjon is not up")
            .cause(format!("there is no socket at {place}"))
            .state("nothing was asked")
            .hint("`donjon up` starts it"),
        () if known(ErrorKind::ConnectionRefused) => Failure::new(Exit::Unavailable, "donjon is not up")
            .cause(format!("nobody listens at {place}; the daemon was killed"))
            .state("what was stored is safe in the store")
            .hint("`donjon up` starts it again"),
        () if known(ErrorKind::PermissionDenied) => {
            Failure::new(Exit::NotAllowed, "the daemon belongs to another user")
                .cause(format!("{place} may not be opened by this user"))
                .state("nothing was asked")
                .hint("use the account that ran `donjon up`, or set DONJON_HOME")
        }
        () => Failure::new(Exit::Unavailable, format!("cannot reach the daemon at {place}"))
            .because(error)
            .state("nothing was asked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::net::UnixListener;

    /// What comes of asking a daemon that answers so.
    fn answered<T>(answers: &[(Answer, Vec<Material>)], ask: impl FnOnce(&mut Client) -> T) -> T {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                Message::read(&mut stream).unwrap();
                for (answer, materials) in answers {
                    let materials = materials.iter().map(Material::duplicate).collect();
                    // Who has heard enough leaves.
                    let _ = Message::new(answer, materials).unwrap().write(&mut stream);
                }
            });
            ask(&mut Client::at(&path).unwrap())
        })
    }

    /// What is taken of a file, and whether it is one.
    fn file_of(answers: &[(Answer, Vec<Material>)]) -> (Vec<u8>, Result<Reply, Failure>) {
        let mut taken = Vec::new();
        let mut take = |piece: &[u8]| {
            taken.extend_from_slice(piece);
            Ok(())
        };
        let reply = answered(answers, |client| client.ask_for_file(&Request::Ready, &mut |_| (), &mut take));
        (taken, reply)
    }

    #[test]
    fn a_file_is_whole_or_no_file() {
        let piece = |text: &str| (Answer::Piece(Piece { of: 6 }), vec![Material::from(text.to_owned())]);
        let reply = || (Answer::Reply(json!({})), Vec::new());
        let (taken, whole) = file_of(&[piece("abc"), piece("def"), reply()]);
        assert!(whole.is_ok() && taken == b"abcdef");
        let old = (Answer::Reply(json!({})), vec![Material::from("abcdef".to_owned())]);
        let more = || vec![Material::from("abc".to_owned()), Material::from("def".to_owned())];
        for cut in [
            vec![piece("abc"), reply()],
            vec![piece("abc"), piece("defg"), reply()],
            vec![piece("abc"), piece("def")],
            vec![reply()],
            vec![old],
            vec![(Answer::Piece(Piece { of: 6 }), more()), reply()],
            vec![(Answer::Piece(Piece { of: 6 }), Vec::new()), reply()],
        ] {
            assert_eq!(file_of(&cut).1.unwrap_err().code, Exit::Unavailable);
        }
    }

    #[test]
    fn pieces_of_a_file_that_was_not_asked_for_are_refused() {
        let piece = (Answer::Piece(Piece { of: 3 }), vec![Material::from("abc".to_owned())]);
        let refused = answered(&[piece], |client| client.ask_quietly(&Request::Ready, Vec::new()));
        assert_eq!(refused.unwrap_err().code, Exit::Unavailable);
    }

    #[test]
    fn at_the_lookup_socket_of_another_home_everything_but_reading_is_refused_here_in_one_way() {
        let refused = |request: Request, materials: Vec<Material>| {
            let (own, other) = UnixStream::pair().unwrap();
            let home = Home::at("/var/lib/donjon".into());
            let failure =
                Client { stream: own, instead: Some(home), until: None }.ask_quietly(&request, materials).unwrap_err();
            other.set_nonblocking(true).unwrap();
            let sent = Read::read(&mut &other, &mut [0]);
            assert_eq!(sent.unwrap(), 0, "nothing was asked");
            failure
        };
        let put = Request::Put { name: "x".to_owned(), new_deployment: false };
        let value = vec![Material::from("a-value-long-enough".to_owned())];
        for failure in [refused(Request::List, Vec::new()), refused(put, value)] {
            assert_eq!(failure.code, Exit::NotAllowed);
            assert!(failure.hint.unwrap().starts_with("if it has another home, set DONJON_HOME"));
        }
        let denied = (Answer::Error(Failure::new(Exit::NotAllowed, "no role grants it")), Vec::new());
        let read = Request::Read { names: Vec::new(), version: None, epoch: None };
        let failure = answered(&[denied], |client| {
            client.instead = Some(Home::at("/var/lib/donjon".into()));
            client.ask_quietly(&read, Vec::new()).unwrap_err()
        });
        assert_eq!(failure.causes, ["DONJON_HOME is not set, so it is /var/lib/donjon"]);
    }
}
