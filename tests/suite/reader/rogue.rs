//! A reader that is none: whatever it answers, or does not, no service starts on its defaults, and nobody waits or fills memory
//! for it. The Python driver in a real oslo.config process, and `donjon config get` on the same files.

use donjon_tests::{donjon::Donjon, process, python_driver, tools};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const SERVICE: &str = "
import sys
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf.register_opts([cfg.StrOpt('connection', default='sqlite://')], 'database')
conf(sys.argv[1:], default_config_files=[], default_config_dirs=[])
print('started with', conf.database.connection)
";

/// What answers every request with the same, and counts the bytes that it got rid of.
fn stand_in(answer: Answer) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    // It ends with the process.
    std::thread::spawn(move || {
        for mut caller in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = caller.read(&mut request);
            match &answer {
                // The caller may have gone by now.
                Answer::Json(body) => {
                    let head =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                    let _ = caller.write_all(head.as_bytes()).and_then(|()| caller.write_all(body.as_bytes()));
                }
                Answer::Dripping => {
                    let mut bytes = b"HTTP/1.1 200 OK\r\nX-Long: ".iter().chain(std::iter::repeat(&b'x')).take(600);
                    while bytes.next().is_some_and(|byte| caller.write_all(&[*byte]).is_ok()) {
                        // Its time-out, and no other event, ends each wait.
                        let _ = caller.set_read_timeout(Some(Duration::from_millis(100)));
                        let _ = caller.read(&mut request);
                    }
                }
                Answer::Endless => {
                    let _ = caller.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                    let piece = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
                    while counted.load(Ordering::Relaxed) < ENOUGH && caller.write_all(&piece).is_ok() {
                        counted.fetch_add(piece.len(), Ordering::Relaxed);
                    }
                }
            }
        }
    });
    (address, sent)
}

enum Answer {
    Json(String),
    Endless,
    /// A byte of a head every so often.
    Dripping,
}

/// More than anybody may have taken of an answer without an end, the buffers of the way included.
const ENOUGH: usize = 400 << 20;
const MOST: usize = 160 << 20;

struct Scene {
    donjon: Donjon,
    package: tempfile::TempDir,
}

impl Scene {
    /// Starts the service and asks for its option: what both say.
    fn refused(&self, group: &str) -> [String; 2] {
        let file = |name: &str, text: &str| {
            let path = self.donjon.home().join(name);
            donjon_drivers::fs::replace(&path, text.as_bytes()).unwrap();
            path.display().to_string()
        };
        let mapping = file("mapping.conf", "[database]\nconnection = a\n");
        let configuration = file(
            "service.conf",
            &format!(
                "[DEFAULT]\nconfig_source = s\n[s]\ndriver = donjon\nmapping_file = {mapping}\ndeployment = d\n{group}\n"
            ),
        );
        let mut service = Command::new(tools::program("python"));
        service.arg("-c").arg(SERVICE).arg(format!("--config-file={configuration}"));
        service.env_clear().env("PYTHONPATH", self.package.path()).env("PYTHONDONTWRITEBYTECODE", "1");
        let service = service.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&service.stderr).into_owned();
        assert!(!service.status.success() && service.stdout.is_empty(), "{group}: it started: {service:?}");
        assert!(said.contains("does not start") || said.contains("cannot be used"), "{group}: {said}");
        assert!(!said.contains("Traceback"), "{group}: {said}");
        let told = self.donjon.run(&["config", "get", "--config-file", &configuration, "database", "connection"]);
        assert!([2, 3, 6].contains(&told.code) && told.out.is_empty(), "{group}: {told:?}");
        [said, told.err]
    }
}

fn scene() -> Scene {
    let donjon = Donjon::new();
    std::fs::create_dir_all(donjon.home()).unwrap();
    Scene { donjon, package: python_driver::installed() }
}

#[test]
fn no_answer_of_a_rogue_reader_starts_a_service_on_its_defaults() {
    let scene = scene();
    let deep = "[".repeat(200_000);
    for body in [r#"{"data":null}"#, r#"{"data":[]}"#, r#"{"data":{"records":{}}}"#, "null", "[]", "", "\u{0}", &deep] {
        let (address, _) = stand_in(Answer::Json(body.to_owned()));
        scene.refused(&format!("address = {address}"));
    }
    for name in ["role", "secret"] {
        donjon_drivers::fs::replace(&scene.donjon.home().join(name), b"id").unwrap();
    }
    let home = scene.donjon.home().display().to_string();
    let login = format!("role_id_file = {home}/role\nsecret_id_file = {home}/secret");
    for body in [
        r#"{"auth":"x"}"#,
        r#"{"auth":{"client_token":7}}"#,
        r#"{"auth":{"client_token":"a\r\nX-Other: b"}}"#,
        r#"{"auth":{"client_token":"\u00e9\u4e2d"}}"#,
    ] {
        let (address, _) = stand_in(Answer::Json(body.to_owned()));
        scene.refused(&format!("address = {address}\n{login}"));
    }
    donjon_drivers::fs::replace(&scene.donjon.home().join("role"), b"\xff\xfe").unwrap();
    scene.refused(&format!("address = http://127.0.0.1:1\n{login}"));
    for typed in ["https://ctl1:82oo", "https://ctl1:99999", "https://[::1", "HTTPS//x"] {
        scene.refused(&format!("address = {typed}"));
    }
}

#[test]
fn an_answer_without_an_end_is_left_and_a_full_socket_is_not_waited_for() {
    let scene = scene();
    let (address, sent) = stand_in(Answer::Endless);
    let [python, rust] = scene.refused(&format!("address = {address}"));
    assert!(python.contains("has no end") && rust.contains("has more than"), "{python}{rust}");
    // Both of them together.
    assert!(sent.load(Ordering::Relaxed) < 2 * MOST, "{} bytes were taken", sent.load(Ordering::Relaxed));
    let path = scene.donjon.home().join("full");
    let _full = full(&path);
    let begun = Instant::now();
    scene.refused(&format!("address = unix://{}\ntimeout = 1", path.display()));
    assert!(begun.elapsed() < Duration::from_secs(30), "it was waited for");
}

#[test]
fn a_head_that_drips_is_cut_in_time() {
    let scene = scene();
    let (address, _) = stand_in(Answer::Dripping);
    let begun = Instant::now();
    let [python, rust] = scene.refused(&format!("address = {address}\ntimeout = 2"));
    assert!(python.contains("did not answer within 2") && rust.contains("did not answer within 2"), "{python}{rust}");
    assert!(begun.elapsed() < Duration::from_secs(30), "it was waited for");
}

/// What listens at a high port of this machine as another user, and prints what it is sent.
const OTHER_USER: &str = "
import socket, sys
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
while True:
    caller = listener.accept()[0]
    caller.settimeout(5)
    print('got', caller.recv(4096), flush=True)
";

#[test]
fn nothing_is_said_to_another_user_who_listens_in_the_readers_place() {
    let scene = scene();
    for name in ["role", "secret"] {
        donjon_drivers::fs::replace(&scene.donjon.home().join(name), b"canary-of-a-role").unwrap();
    }
    let mut other = process::tied("setpriv");
    other.args(["--reuid", "nobody", "--clear-groups"]).arg("/usr/bin/python3").args(["-c", OTHER_USER]);
    let mut other = other.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(other.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let address = format!("http://127.0.0.1:{}", line.trim());
    let home = scene.donjon.home().display().to_string();
    for more in [String::new(), format!("\nrole_id_file = {home}/role\nsecret_id_file = {home}/secret")] {
        for told in scene.refused(&format!("address = {address}{more}")) {
            assert!(told.contains("of user 65534, neither root nor this one"), "{told}");
        }
    }
    other.kill().unwrap();
    other.wait().unwrap();
    let mut got = String::new();
    said.read_to_string(&mut got).unwrap();
    // Python's connection is looked at once it is there; nothing has gone over it.
    assert!(got.lines().all(|line| line == "got b''"), "{got}");
}

/// A socket at which nobody accepts, with as many waiting as there is room for.
fn full(path: &Path) -> Vec<std::os::fd::OwnedFd> {
    let new = || socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
    let (address, listener) = (SocketAddrUnix::new(path).unwrap(), new());
    bind(&listener, &address).unwrap();
    listen(&listener, 0).unwrap();
    let mut held = vec![listener];
    for _ in 0..64 {
        let caller = new();
        if connect(&caller, &address).is_err() {
            return held;
        }
        held.push(caller);
    }
    panic!("it has no limit");
}
