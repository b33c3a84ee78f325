//! Every seeded leak is found, and nothing else is.

mod archives;

use super::*;
use base64::{Engine, engine::general_purpose};
use donjon_drivers::material::Material;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::{prelude::*, sample::select};
use std::{
    fs,
    io::{self, Read},
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
};

fn needles(values: &[(&str, &str)]) -> Needles {
    let wanted = |(name, value): &(&str, &str)| Wanted {
        name: name.parse().unwrap(),
        standing: Standing::Current,
        material: Material::from((*value).to_owned()),
    };
    Needles::new(values.iter().map(wanted).collect(), Vec::new()).unwrap()
}

fn scan(needles: &Needles, path: &Path) -> Report {
    search(needles, &[path.to_owned()], &[], &mut |_| ControlFlow::Continue(()))
}

fn write(path: &Path, content: &[u8]) {
    donjon_drivers::fs::replace(path, content).unwrap();
}

/// Hands out a text in small parts, so that every part ends somewhere inside a needle.
struct Crumbs<'a>(&'a [u8], usize);

impl Read for Crumbs<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(self.0.len()).min(to.len());
        to[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn found_in(needles: &Needles, text: &[u8], at_once: usize) -> Vec<(String, Encoding, u64)> {
    let mut found = Vec::new();
    let read = stream::search(needles, &mut Crumbs(text, at_once), &mut |hit| {
        let of = &needles.patterns[hit.pattern].of[hit.of];
        found.push((needles.owners[of.owner].0.to_string(), of.encoding, hit.offset));
    });
    assert_eq!(read.unwrap(), text.len() as u64);
    found
}

/// How others write a value: by their libraries, not by ours.
fn written(value: &str, how: Encoding, variant: usize) -> String {
    match (how, variant % 2) {
        (Encoding::Raw, _) => value.to_owned(),
        (Encoding::Base64, 0) => general_purpose::STANDARD.encode(value),
        (Encoding::Base64, _) => {
            general_purpose::URL_SAFE.encode(format!("{}{value}/tail", &"user:"[..2 + variant % 3]))
        }
        (Encoding::Hex, 0) => hex::encode(value),
        (Encoding::Hex, _) => hex::encode_upper(value),
        (Encoding::Url, _) => utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(),
        (Encoding::Json, 0) => serde_json::to_string(value).unwrap(),
        (Encoding::Json, _) => value.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>(),
        (Encoding::Quoted, 0) => format!("'{}'", value.replace('\'', "''")),
        (Encoding::Quoted, _) => format!("'{}'", value.replace('\'', "'\\''")),
    }
}

const ALL: [Encoding; 6] =
    [Encoding::Raw, Encoding::Base64, Encoding::Hex, Encoding::Url, Encoding::Json, Encoding::Quoted];

proptest! {
    #[test]
    fn every_seeded_leak_is_found(
        value in "[A-Za-z0-9]{8,64}|[!-~]{8,64}|[A-Za-z0-9]{129,400}|[!-~äöü€🦀]{16,60}\
            |[!-~]{8,12}|[a-z]{2,9}([ \\t\\n][a-z]{3,9}){2,5}|[!-~]{3,5} {1,3}[!-~]{4,9}|[ -~]{140,300}",
        how in select(&ALL[..]),
        variant in 0_usize..6,
        before in "[a-z ,.\\n]{0,300}",
        after in "[a-z ,.\\n]{0,300}",
        at_once in 1_usize..200,
    ) {
        let leak = written(&value, how, variant);
        let needles = needles(&[("secret", &value), ("other", "ZZZZ-not-there-ZZZZ")]);
        let clean = format!("{before}{after}");
        prop_assume!(!clean.contains(&value));
        prop_assert_eq!(found_in(&needles, clean.as_bytes(), at_once), vec![]);
        let text = format!("{before}\"{leak}\"{after}");
        let found = found_in(&needles, text.as_bytes(), at_once);
        prop_assert!(!found.is_empty(), "{how:?} of a value of {} bytes was missed", value.len());
        let range = before.len() as u64..(before.len() + leak.len() + 2) as u64;
        prop_assert!(found.iter().all(|(name, _, offset)| name == "secret" && range.contains(offset)), "{:?}", found);
    }

    #[test]
    fn base64_of_a_short_value_is_found_where_its_line_ends(
        value in "[!-~]{8,11}", before in 0_usize..3, at in 1_usize..8, indented in "\\r?\\n[ \\t]{0,6}",
    ) {
        let mut text = general_purpose::STANDARD.encode(format!("{}{value}", &"ab"[..before]));
        text.insert_str(at + 2, &indented);
        let found = found_in(&needles(&[("p", &value)]), text.as_bytes(), 1000);
        prop_assert!(found.iter().any(|(_, encoding, _)| *encoding == Encoding::Base64), "{:?}", text);
    }

    #[test]
    fn folds_and_spaces_are_seen_across_the_borders_of_chunks(
        text in "([ab]{2,4}|ab abb aa|abbaab b|\\\\{1,3}|\\\\\\n|\\n \\\\ |[ \\n]){0,80}",
        at_once in 1_usize..60,
    ) {
        let needles = needles(&[("one", "ab abb aa"), ("two", "abbaab b\\"), ("three", "aabb\nbbaa"), ("four", "\\ abababab")]);
        let sorted = |at_once| {
            let mut found = found_in(&needles, text.as_bytes(), at_once);
            found.sort_unstable();
            found
        };
        prop_assert_eq!(sorted(at_once), sorted(usize::MAX));
    }

    #[test]
    fn chunks_of_any_size_give_the_same(
        text in "[ab\\n ]{0,400}",
        at_once in 1_usize..60,
    ) {
        let needles = needles(&[("one", "abababab"), ("two", "bbbbbbbbb"), ("three", "aabbaabbaabbaabbaabb")]);
        prop_assert_eq!(found_in(&needles, text.as_bytes(), at_once), found_in(&needles, text.as_bytes(), usize::MAX));
    }
}

const PASSWORD: &str = "Kq7Zt0WmYx3Rb9Lc5Vn2Hs8Jd4Pf6Gg1TeUaQoXi";

#[test]
fn a_leak_across_the_border_of_a_chunk_is_found_where_it_is() {
    let needles = needles(&[("p", PASSWORD)]);
    for at in (stream::CHUNK - PASSWORD.len() - 2)..(stream::CHUNK + 2) {
        let mut text = vec![b'.'; stream::CHUNK * 2];
        text[at..at + PASSWORD.len()].copy_from_slice(PASSWORD.as_bytes());
        assert_eq!(found_in(&needles, &text, usize::MAX), [("p".to_owned(), Encoding::Raw, at as u64)]);
    }
}

#[test]
fn keys_are_found_in_every_dress_and_their_public_half_is_no_leak() {
    use crate::generation::{System, make};
    use donjon_drivers::store::secret::SecretValue;
    for recipe in ["ssh rsa-2048", "ssh ed25519"] {
        let SecretValue::Pair { private, public } = make(recipe.parse().unwrap(), &System, 0).unwrap() else {
            panic!("a pair was asked for")
        };
        let key = private.expose_text().unwrap(); // EXPOSE: a test value
        let needles = needles(&[("key", key)]);
        let block: String = key.lines().map(|line| format!("      {line}\n")).collect();
        let commented: String = key.lines().map(|line| format!("# {line}\n")).collect();
        let single_quoted = format!("k: '{}'", key.replace('\n', "\n\n    "));
        let wrapped: String = general_purpose::STANDARD
            .encode(key)
            .as_bytes()
            .chunks(76)
            .map(|line| format!("{}\n", std::str::from_utf8(line).unwrap()))
            .collect();
        let json = serde_json::to_string(key).unwrap();
        for (how, dress) in [
            ("block", &block),
            ("commented", &commented),
            ("quoted", &single_quoted),
            ("wrapped", &wrapped),
            ("json", &json),
        ] {
            assert!(!found_in(&needles, dress.as_bytes(), 1000).is_empty(), "{recipe}: {how}");
        }
        assert_eq!(found_in(&needles, public.as_bytes(), 1000), [], "{recipe}");
        let another = make(recipe.parse().unwrap(), &System, 0).unwrap();
        let another = another.material().expose(); // EXPOSE: a test value
        assert_eq!(found_in(&needles, another, 1000), [], "{recipe}: what all keys have in common is no leak");
    }
}

#[test]
fn a_short_value_with_white_space_is_found_as_it_is_and_its_words_elsewhere_are_no_leak() {
    let needles = needles(&[
        ("horse", "correct horse"),
        ("user", "user name"),
        ("wide", "ab      cd"),
        ("letters", "my pass 1"),
        ("lines", "one\ntwo 3"),
        ("ends", "backslash 1\\"),
        ("begins", "\\ beginning"),
    ]);
    assert_eq!(needles.not_looked_for, []);
    let found = |text: &str| -> Vec<String> {
        let mut names: Vec<_> = found_in(&needles, text.as_bytes(), 3).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names.len(), found_in(&needles, text.as_bytes(), 1000).len(), "{text:?}");
        names.dedup();
        names
    };
    for (name, text) in [
        ("horse", "password=correct horse\n"),
        ("horse", "{\"p\": \"correct horse\"}"),
        ("horse", "P=correct\\ horse"),
        ("horse", "p: some text that is folded, correct\n  horse"),
        ("horse", "p: \"some text that is folded, correct\\\n  \\ horse\""),
        ("horse", "p: \"some text that is folded, corr\\\n  ect horse\""),
        ("user", "'user name'"),
        ("wide", "ab      cd"),
        ("letters", "my pass 1"),
        ("lines", "p: |\n  one\n  two 3\n"),
        ("lines", "p: 'one\n\n  two 3'\n"),
        ("lines", r#""one\ntwo 3""#),
        ("ends", "backslash 1\\"),
        ("ends", "backslash 1\\ "),
        ("ends", "backslash 1\\\nnext line"),
        ("ends", r#""backslash 1\\""#),
        ("begins", "\\ beginning\n"),
        ("begins", "x\n\\ beginning\n"),
    ] {
        assert_eq!(found(text), [name], "{text:?}");
    }
    for text in [
        "correcthorse username abcd mypass1 onetwo3",
        "cor rect horse, corre\ncthorse, correct  horse, correct\thorse",
        "u sername, use rname, user_name, ab cd, ab\n cd",
        "m y p a s s 1, mypass 1, my\u{a0}pass 1",
        "one two 3, onetwo 3, o\nne\ntwo 3",
        "backslash 1\nnext, backslash 1 \\, back\nslash 1\\",
    ] {
        assert_eq!(found(text), [""; 0], "{text:?}");
    }
}

#[test]
fn a_value_that_is_mostly_white_space_is_said_to_be_looked_for_encoded_alone() {
    let needles = needles(&[("spaces", "a       b"), ("ends", "   abcd   ")]);
    let not: Vec<_> = needles.not_looked_for.iter().map(|not| (not.secret.as_str(), not.why)).collect();
    assert_eq!(not, [("ends", Why::Spaces), ("spaces", Why::Spaces)]);
    assert_eq!(found_in(&needles, b"a       b ab    abcd   ", 5), []);
    let found = found_in(&needles, hex::encode("a       b").as_bytes(), 5);
    assert_eq!(found, [("spaces".to_owned(), Encoding::Hex, 0)]);
}

#[test]
fn each_key_of_a_repository_is_looked_for() {
    let needles = needles(&[("keys", r#"{"0":"c3RhZ2VkLWtleS1zdGFnZWQta2V5","1":"cHJpbWFyeS1rZXktcHJpbWFyeS1r"}"#)]);
    assert_eq!(found_in(&needles, b"c3RhZ2VkLWtleS1zdGFnZWQta2V5\n", 7).len(), 1);
    assert_eq!(found_in(&needles, b"x cHJpbWFyeS1rZXktcHJpbWFyeS1r", 7).len(), 1);
}

#[test]
fn short_values_are_said_not_to_be_looked_for() {
    let needles = needles(&[("pin", "1234567"), ("empty", ""), ("good", PASSWORD)]);
    let names: Vec<&str> = needles.not_looked_for.iter().map(|not| not.secret.as_str()).collect();
    assert_eq!(names, ["empty", "pin"]);
    assert_eq!(needles.looked_for.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["good"]);
    assert!(needles.not_looked_for.iter().all(|not| not.why == Why::TooShort));
    assert_eq!(found_in(&needles, b"1234567 1234567", 4), []);
}

#[test]
fn equal_values_of_two_secrets_are_both_told() {
    let found = found_in(&needles(&[("a", PASSWORD), ("b", PASSWORD)]), PASSWORD.as_bytes(), 9);
    assert_eq!(found.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn folders_are_searched_links_are_not_and_what_cannot_be_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path();
    let outside = tempfile::tempdir().unwrap();
    write(&outside.path().join("leak"), PASSWORD.as_bytes());
    fs::create_dir_all(top.join("deep/er")).unwrap();
    write(&top.join("deep/er/clouds.yaml"), format!("password: {PASSWORD}\n").as_bytes());
    write(&top.join("clean"), b"nothing here");
    std::os::unix::fs::symlink(outside.path(), top.join("link")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("leak"), top.join("file-link")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, top.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let needles = needles(&[("p", PASSWORD)]);
    let report = scan(&needles, top);
    let [found] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!(found.place, Place::File { path: top.join("deep/er/clouds.yaml").display().to_string() });
    assert_eq!((found.offset, found.encoding), (10, Encoding::Raw));
    assert_eq!((report.files, report.links, report.special, report.unsearched_count), (2, 2, 1, 0));

    // What is named and cannot be searched is told: missing, a link, unreadable, the kernel's.
    let named = ["/proc/self/mem", "/proc", "/nowhere/at/all"].map(PathBuf::from);
    let report = search(&needles, &[&named[..], &[top.join("link")]].concat(), &[], &mut |_| ControlFlow::Continue(()));
    let told: Vec<&str> = report.unsearched.iter().map(|place| place.path.as_str()).collect();
    assert_eq!(told, ["/proc/self/mem", "/proc", "/nowhere/at/all", &top.join("link").display().to_string()]);
    assert_eq!((report.found, report.files), (0, 0));
}

#[test]
fn a_scan_can_be_ended_and_says_that_it_was() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a"), b"clean");
    write(&folder.path().join("b"), PASSWORD.as_bytes());
    let report =
        search(&needles(&[("p", PASSWORD)]), &[folder.path().to_owned()], &[], &mut |_| ControlFlow::Break(()));
    assert_eq!((report.files, report.found, report.unsearched_count), (1, 0, 1));
}

#[test]
fn holes_of_a_file_are_passed_over_and_what_lies_between_them_is_found_where_it_is() {
    use std::os::unix::fs::FileExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    write(&path, b"the first canary-4711 ");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    // Hours of zeros.
    let far = 1 << 42;
    file.write_all_at(b"and canary-4711 again", far).unwrap();
    file.set_len(far + (1 << 40)).unwrap();
    let report = scan(&needles(&[("s", "canary-4711")]), &path);
    let offsets: Vec<_> = report.findings.iter().map(|finding| finding.offset).collect();
    assert_eq!((offsets, report.files), (vec![10, far + 4], 1));
}

#[test]
fn it_is_told_how_far_a_scan_is_and_of_how_much() {
    let folder = repository();
    write(&folder.path().join("long"), &vec![b'.'; 10 << 20]);
    rustix::fs::mknodat(rustix::fs::CWD, folder.path().join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    let mut told = Vec::new();
    let report =
        search(&needles(&[("p", PASSWORD)]), &[folder.path().to_owned()], &[Elsewhere::Processes], &mut |at| {
            told.push(at);
            ControlFlow::Continue(())
        });
    assert_eq!(report.objects, 9);
    let known = report.files + report.objects;
    let total = told[0].total.unwrap();
    assert!(total > known && told[..known as usize].iter().all(|at| at.total == Some(total)), "{told:?}");
    assert!(told.windows(2).all(|two| two[0].done <= two[1].done && two[0].bytes <= two[1].bytes));
    // While the long one is read, it is told how far that is.
    let bytes = |two: &&[Progress]| two[0].done == two[1].done && two[0].bytes < two[1].bytes;
    assert!(told.windows(2).filter(bytes).count() >= 1, "{told:?}");
    let behind = told.iter().find(|at| at.done == known).unwrap();
    assert_eq!(behind.read, known);
    assert_eq!(told.last().unwrap().done, known + report.processes);
}

#[test]
fn a_scan_can_be_ended_in_the_middle_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("long"), &vec![b'.'; 40 << 20]);
    let mut asked = 0;
    let report = search(&needles(&[("p", PASSWORD)]), &[folder.path().to_owned()], &[], &mut |_| {
        asked += 1;
        ControlFlow::Break(())
    });
    assert!(asked < 5 && report.files == 0 && report.unsearched_count == 2, "{asked} {report:?}");
}

fn git(folder: &Path, arguments: &[&str]) {
    let ended = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main", "-C"])
        .arg(folder)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(ended.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// A repository in which a value was committed, and removed later.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path();
    git(top, &["init", "--quiet"]);
    write(&top.join("vars.yaml"), b"password: soon\n");
    git(top, &["add", "."]);
    git(top, &["commit", "--quiet", "-m", "one"]);
    write(&top.join("vars.yaml"), format!("password: {PASSWORD}\n").as_bytes());
    git(top, &["commit", "--quiet", "-a", "-m", "two"]);
    write(&top.join("vars.yaml"), b"password: '{{ lookup }}'\n");
    git(top, &["commit", "--quiet", "-a", "-m", "three"]);
    folder
}

fn history_findings(top: &Path) -> (Report, Vec<Finding>) {
    let report = scan(&needles(&[("p", PASSWORD)]), top);
    assert_eq!(report.unsearched, []);
    let findings = report.findings.clone();
    (report, findings)
}

#[test]
fn a_value_that_was_committed_and_removed_is_found_in_the_history() {
    let folder = repository();
    let top = folder.path();
    assert!(
        !String::from_utf8_lossy(&fs::read(top.join("vars.yaml")).unwrap()).contains(PASSWORD),
        "the tree is clean"
    );
    let of_two = Command::new("git").arg("-C").arg(top).args(["rev-parse", "HEAD~1"]).output().unwrap();
    let of_two = String::from_utf8(of_two.stdout).unwrap().trim().to_owned();
    for packed in [false, true] {
        if packed {
            git(top, &["gc", "--quiet"]);
        }
        let (report, findings) = history_findings(top);
        let [Finding { place: Place::Object { kind, commit, path, .. }, offset: 10, .. }] = &findings[..] else {
            panic!("{report:?}")
        };
        assert_eq!((kind.as_str(), commit.as_deref(), path.as_deref()), ("blob", Some(&*of_two), Some("vars.yaml")));
        assert_eq!(report.objects, 9, "3 commits, 3 trees, 3 blobs");
    }
}

#[test]
fn what_no_branch_reaches_and_what_a_message_says_is_found() {
    let folder = repository();
    let top = folder.path();
    git(top, &["reset", "--quiet", "--hard", "HEAD~2"]);
    git(top, &["reflog", "expire", "--expire=now", "--all"]);
    git(top, &["commit", "--quiet", "--allow-empty", "-m", &format!("the password is {PASSWORD}")]);
    git(top, &["reflog", "expire", "--expire=now", "--all"]);
    fs::remove_file(top.join(".git/COMMIT_EDITMSG")).unwrap();
    let (report, findings) = history_findings(top);
    let kinds: Vec<(&str, Option<&str>)> = findings
        .iter()
        .map(|finding| match &finding.place {
            Place::Object { kind, commit, .. } => (kind.as_str(), commit.as_deref()),
            Place::File { path } | Place::Member { path, .. } => (path.as_str(), None),
            Place::Process { part, .. } => (part.as_str(), None),
            Place::Output { output } => (output.as_str(), None),
        })
        .collect();
    assert_eq!(kinds.len(), 2, "{report:?}");
    assert!(kinds.contains(&("blob", None)) && kinds.iter().any(|(kind, _)| *kind == "commit"), "{kinds:?}");
}

#[test]
fn a_repository_cannot_make_the_scan_run_anything() {
    let folder = repository();
    let top = folder.path();
    let (ran, script) = (top.join("ran"), top.join("run.sh"));
    donjon_drivers::fs::replace_with_mode(&script, format!("#!/bin/sh\ntouch {}\n", ran.display()).as_bytes(), 0o755)
        .unwrap();
    let program = script.display().to_string();
    for key in [
        "core.fsmonitor",
        "core.pager",
        "diff.external",
        "gpg.program",
        "core.sshCommand",
        "core.alternateRefsCommand",
        "diff.x.textconv",
    ] {
        git(top, &["config", key, &program]);
    }
    git(top, &["config", "log.showSignature", "true"]);
    git(top, &["config", "remote.origin.url", &format!("ext::{program}")]);
    git(top, &["config", "remote.origin.promisor", "true"]);
    write(&top.join(".git/info/attributes"), b"* diff=x\n");
    // The control: git itself runs it.
    let control = Command::new("git").arg("-C").arg(top).args(["diff", "HEAD~1"]).output().unwrap();
    assert!(ran.exists(), "the trap works: {control:?}");
    fs::remove_file(&ran).unwrap();
    let (report, findings) = history_findings(top);
    assert_eq!(findings.len(), 1, "{report:?}");
    assert!(!ran.exists());
}

#[test]
fn a_broken_history_is_told() {
    let folder = repository();
    let top = folder.path();
    git(top, &["gc", "--quiet"]);
    let pack = fs::read_dir(top.join(".git/objects/pack")).unwrap();
    let pack =
        pack.map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some_and(|e| e == "pack")).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0);
    fs::remove_file(&pack).unwrap();
    write(&pack, &bytes);
    let report = scan(&needles(&[("p", PASSWORD)]), top);
    assert_eq!(report.unsearched.len(), 1, "{report:?}");
    assert!(report.unsearched[0].reason.starts_with("its git history was not searched to the end"), "{report:?}");
}

#[test]
fn a_repository_without_its_head_is_told() {
    let folder = repository();
    fs::remove_file(folder.path().join(".git/HEAD")).unwrap();
    let report = scan(&needles(&[("p", PASSWORD)]), folder.path());
    let [told] = &report.unsearched[..] else { panic!("{report:?}") };
    assert!(told.reason.starts_with("it is no whole git repository"), "{told:?}");
}

#[test]
fn a_history_that_lies_elsewhere_is_told() {
    let folder = repository();
    let tree = tempfile::tempdir().unwrap();
    let tree = tree.path().join("tree");
    git(folder.path(), &["worktree", "add", "--quiet", &tree.display().to_string()]);
    let report = scan(&needles(&[("p", PASSWORD)]), &tree);
    let [told] = &report.unsearched[..] else { panic!("{report:?}") };
    assert!(told.reason.starts_with("the git history lies outside"), "{told:?}");
}

#[test]
fn no_report_holds_a_value() {
    let folder = repository();
    write(&folder.path().join("leak"), format!("{PASSWORD} {}", hex::encode(PASSWORD)).as_bytes());
    let report = scan(&needles(&[("p", PASSWORD)]), folder.path());
    assert!(report.found >= 2);
    let text = format!("{report:?} {}", serde_json::to_string(&report).unwrap());
    assert!(!text.contains(&PASSWORD[..16]) && !text.contains(&hex::encode(PASSWORD)[..16]));
}
