//! A folder from which an operator runs ansible-playbook, and the search for values in all that a run leaves.

use aho_corasick::AhoCorasick;
use donjon_tests::{
    donjon::{Donjon, binary},
    rabbitmq::RabbitMq,
    tools,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// Where the collection lies.
pub(super) const COLLECTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../drivers/ansible");
/// What tests give to Ansible.
pub(super) const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/ansible");

/// How a run is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    /// By `donjon run --deploy`: masked, pipelined, temporary files in memory.
    Kept,
    /// As Ansible does by itself, with what it writes left in place: the control, in which the search must find values.
    Careless,
}

/// A folder on disk, and one in memory.
pub(super) struct Site {
    folder: TempDir,
    memory: TempDir,
}

/// What a run printed.
pub(super) struct Played {
    pub(super) ok: bool,
    pub(super) said: String,
}

impl Played {
    /// What was printed by a run that must have succeeded.
    #[track_caller]
    pub(super) fn ok(self) -> String {
        let errors: Vec<&str> = self.said.lines().filter(|line| line.contains("rror")).collect();
        let last: Vec<&str> = self.said.lines().rev().take(40).collect();
        assert!(self.ok, "{errors:#?}\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
        self.said
    }
}

impl Site {
    /// A copy of a folder of fixtures.
    pub(super) fn of(fixture: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("site-").tempdir().unwrap();
        let memory = tempfile::Builder::new().prefix("site-").tempdir_in("/dev/shm").unwrap();
        run(Command::new("cp").arg("-r").arg(format!("{FIXTURES}/{fixture}/.")).arg(folder.path()));
        let site = Self { folder, memory };
        site.write("ansible.cfg", "");
        site
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where a run may leave rendered files: the sinks.
    pub(super) fn sinks(&self) -> PathBuf {
        self.memory.path().join("sinks")
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        donjon_drivers::fs::replace(&self.path().join(name), text.as_bytes()).unwrap();
    }

    /// Lets tasks administer a RabbitMQ node: its programs, and its cookie in their HOME.
    pub(super) fn administers(&self, rabbit: &RabbitMq) {
        std::os::unix::fs::symlink(rabbit.programs(), self.path().join("bin")).unwrap();
        fs::create_dir_all(self.path().join("home")).unwrap();
        fs::copy(rabbit.cookie(), self.path().join("home/.erlang.cookie")).unwrap();
    }

    /// Runs a playbook of this folder with `-vvv --diff`, a log, and a cache of facts.
    pub(super) fn play(
        &self,
        donjon: &Donjon,
        setting: Setting,
        more: &[(&str, &str)],
        arguments: &[String],
    ) -> Played {
        let playbook = tools::program("ansible-playbook").display().to_string();
        let words = [&[playbook, "-vvv".to_owned(), "--diff".to_owned()], arguments].concat();
        self.run(donjon, setting, more, &words)
    }

    /// Runs a program that is Ansible, or starts it, in this folder.
    pub(super) fn run(&self, donjon: &Donjon, setting: Setting, more: &[(&str, &str)], words: &[String]) -> Played {
        let own = |name: &str| self.path().join(name).display().to_string();
        let mut command = match (setting, words) {
            (Setting::Careless, [program, arguments @ ..]) => {
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
            (Setting::Kept, _) | (Setting::Careless, []) => {
                let mut command = Command::new(binary());
                command.args(["run", "--deploy", "--"]).args(words);
                command
            }
        };
        let programs = tools::program("python3");
        let path = format!("{}:{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.parent().unwrap().display(), own("bin"));
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", path)
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", own("home"))
            .env("TMPDIR", own("tmp"))
            .env("XDG_RUNTIME_DIR", self.memory.path())
            .env("DONJON_HOME", donjon.home())
            .env("ANSIBLE_CONFIG", own("ansible.cfg"))
            .env("ANSIBLE_PYTHON_INTERPRETER", &programs)
            .env("ANSIBLE_LOG_PATH", own("ansible.log"))
            .env("ANSIBLE_CACHE_PLUGIN", "jsonfile")
            .env("ANSIBLE_CACHE_PLUGIN_CONNECTION", own("facts"));
        fs::create_dir_all(self.path().join("home")).unwrap();
        fs::create_dir_all(self.path().join("tmp")).unwrap();
        match setting {
            Setting::Kept => &mut command,
            Setting::Careless => command
                .env("ANSIBLE_COLLECTIONS_PATH", COLLECTIONS)
                .env("DONJON_UNMASKED", "allow")
                .env("ANSIBLE_PIPELINING", "false")
                .env("ANSIBLE_KEEP_REMOTE_FILES", "true")
                .env("ANSIBLE_LOCAL_TEMP", own("tmp/local"))
                .env("ANSIBLE_REMOTE_TEMP", own("tmp/remote")),
        };
        let done = command.envs(more.iter().copied()).output().unwrap();
        let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        Played { ok: done.status.success(), said }
    }

    /// Makes the folder a git repository, or adds a commit of all of it, as TripleO does on every run.
    pub(super) fn commit(&self) {
        let git = |arguments: &[&str]| {
            run(Command::new("git")
                .args(["-c", "user.name=t", "-c", "user.email=t@t"])
                .args(arguments)
                .current_dir(self.path()));
        };
        git(&["init", "-q"]);
        git(&["add", "-A", "-f"]);
        git(&["commit", "-q", "--allow-empty", "-m", "a run"]);
    }

    /// Every object of the git repository, unpacked.
    pub(super) fn history(&self) -> Vec<u8> {
        let done = Command::new("git")
            .args(["cat-file", "--batch-all-objects", "--batch"])
            .current_dir(self.path())
            .output()
            .unwrap();
        assert!(done.status.success() && done.stdout.len() > 1000, "git shows its objects");
        done.stdout
    }

    /// The files below a folder of this site.
    pub(super) fn files(&self, below: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path().join(below)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
                match entry.file_type().unwrap() {
                    kind if kind.is_dir() => folders.push(entry.path()),
                    kind if kind.is_file() => found.push(entry.path()),
                    _ => {}
                }
            }
        }
        found
    }
}

/// Values, and the search for them.
pub(super) struct Search(AhoCorasick);

impl Search {
    /// For these values: as they are, the middle of each that is long enough not to occur by chance, in hexadecimal, and in base64
    /// at each of three offsets.
    pub(super) fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms: Vec<Vec<u8>> = Vec::new();
        for value in values.into_iter().flat_map(str::lines).filter(|line| line.len() >= 16 && !line.starts_with('-')) {
            let bytes = value.as_bytes();
            let middle = &bytes[bytes.len() / 4..bytes.len() * 3 / 4];
            forms.extend([bytes.to_vec(), hex::encode(bytes).into_bytes()]);
            forms.extend((middle.len() >= 12).then(|| middle.to_vec()));
            forms.extend((0..3).map(|offset| {
                let text = base64(&[&vec![0; offset], bytes].concat());
                text[4..text.len() - 4].to_owned().into_bytes()
            }));
        }
        assert!(!forms.is_empty(), "a search for nothing finds nothing");
        Self(AhoCorasick::new(forms).unwrap())
    }

    pub(super) fn finds(&self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.is_match(bytes.as_ref())
    }

    /// Those of these files that hold a value.
    pub(super) fn among(&self, files: Vec<PathBuf>) -> Vec<PathBuf> {
        files.into_iter().filter(|file| self.finds(fs::read(file).unwrap_or_default())).collect()
    }

    /// The lines of a text that hold a value: for the message of a failed test, which has values of its own making only.
    pub(super) fn lines<'a>(&self, text: &'a str) -> Vec<&'a str> {
        text.lines().filter(|line| self.finds(line)).collect()
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0u32, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let sign = ALPHABET[(number >> (18 - 6 * place)) as usize & 63];
            text.push(if place > chunk.len() { '=' } else { char::from(sign) });
        }
    }
    text
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
