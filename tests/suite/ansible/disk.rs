//! Where modules write values: every write of a run of them is watched, from the rendered file to what it is moved over.

use super::site::{Played, Search, Setting, Site};
use donjon_tests::{donjon::Donjon, tools};
use rustix::process::geteuid;
use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    thread,
};
use tempfile::TempDir;

const VALUE: &str = "x7Kq2mWc9Tz4Rv8Lb3Yn6Hd";

#[test]
fn modules_write_values_to_memory_and_to_their_destination_alone() {
    assert!(geteuid().is_root(), "only root becomes another user without a password");
    let donjon = Donjon::new();
    donjon.up();
    donjon.run_with_input(&["put", "x"], VALUE.as_bytes()).ok();
    let loopback = serve();

    // The control: with folders as an operator may have them, and the path that a shell reads otherwise than a module.
    for (folder, wanted) in [("DISK/remote", "/remote/"), ("${NOWHERE:-/run}/donjon-test", "${NOWHERE:-")] {
        let site = Site::of("disk");
        let own = |name: &str| site.path().join(name).display().to_string();
        let (remote, system) = (folder.replace("DISK", &own("tmp")), own("system"));
        fs::create_dir(&system).unwrap();
        fs::set_permissions(&system, PermissionsExt::from_mode(0o1777)).unwrap();
        let careless = [
            ("ANSIBLE_REMOTE_TEMP", remote.as_str()),
            ("ANSIBLE_SYSTEM_TMPDIRS", system.as_str()),
            ("DONJON_MASK_SETTINGS", "warn"),
        ];
        // Where the folder is root's, a module of another user fails.
        let (_, found) = written(&site, &donjon, &careless, &loopback);
        let named = |part: &str| found.iter().any(|path| path.display().to_string().contains(part));
        assert!(named(wanted) && named("/system/"), "{found:#?}");
    }

    let site = Site::of("disk");
    let (played, found) = written(&site, &donjon, &[], &loopback);
    played.ok();
    let memory: Vec<&PathBuf> = found.iter().filter(|path| path.starts_with("/dev/shm")).collect();
    let disk: Vec<&PathBuf> = found.iter().filter(|path| !path.starts_with("/dev/shm")).collect();
    // A module that moves a file to another file system writes it beside its destination first.
    let elsewhere: Vec<_> = disk.iter().filter(|path| !path.starts_with(site.path().join("sinks"))).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
    assert!(disk.len() > 5 && memory.len() > 5, "{found:#?}");
    let left: Vec<_> = memory.iter().filter(|path| path.starts_with("/dev/shm/ansible-") && path.exists()).collect();
    assert!(left.is_empty(), "{left:#?}");
    for name in ["line", "block", "parts/copied", "parts/rendered", "assembled", "fetched", "answered", "shell"] {
        let text = fs::read_to_string(site.path().join("sinks").join(name)).unwrap();
        assert!(text.contains(VALUE), "{name}: {text}");
    }
}

/// Runs the playbook: the files that a value was written to meanwhile, and those that were copied without a look at what they hold.
fn written(site: &Site, donjon: &Donjon, more: &[(&str, &str)], loopback: &str) -> (Played, BTreeSet<PathBuf>) {
    let shared = shared();
    let log = site.path().join("strace");
    let log_name = log.display().to_string();
    let calls = "trace=write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,splice";
    let strace = ["strace", "-f", "-y", "-qq", "-s", "1048576", "-e", calls, "-o", &log_name, "--"];
    let (playbook, shared_at) =
        (tools::program("ansible-playbook").display().to_string(), format!("shared={}", shared.path().display()));
    let play = [&playbook, "-i", "localhost,", "-c", "local", "-e", &shared_at, "-e", loopback, "site.yml"];
    let played = site.run(
        donjon,
        Setting::Kept,
        more,
        &[&strace[..], &play].concat().iter().map(|&word| word.to_owned()).collect::<Vec<_>>(),
    );
    let search = Search::new([VALUE]);
    let log = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    (played, log.lines().filter(|line| is_copy(line) || search.finds(line)).filter_map(target).collect())
}

fn is_copy(line: &str) -> bool {
    ["sendfile(", "copy_file_range(", "splice("].iter().any(|call| line.contains(&format!(" {call}")))
}

/// The file that a line of strace says was written to: of two the first for sendfile, the last for the others; none where it is
/// a pipe, a socket, a device or a file in memory without a name.
fn target(line: &str) -> Option<PathBuf> {
    let (call, rest) = line.split_once('(')?;
    let files = |text: &str| {
        let (_, after) = text.split_once('<')?;
        Some(after.split_once('>')?.0.to_owned())
    };
    let path = match call.ends_with("copy_file_range") || call.ends_with("splice") {
        true => files(rest.rsplit_once(", ").and_then(|_| rest.get(rest.rfind('<')?..))?)?,
        false => files(rest)?,
    };
    let named = path.starts_with('/') && !path.starts_with("/memfd:");
    let device = path.starts_with("/dev/") && !path.starts_with("/dev/shm/");
    (named && !device).then(|| Path::new(path.trim_end_matches(" (deleted)")).to_owned())
}

/// A folder in memory that everybody can write to.
fn shared() -> TempDir {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    folder
}

/// A server on this host that answers each request with the value, as long as the tests run.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _asked = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length";
            let _told = write!(stream, "{head}: {}\r\n\r\n{VALUE}", VALUE.len());
        }
    });
    format!("loopback=http://{address}/")
}
