//! What the folder must hold against: other writers, killed writers, and hands that exchange files.

use super::{File, OpenError};
use crate::{
    fs, identity,
    material::Material,
    store::{Document, Expected, RecordPath, Store, StoreError, Version, Which, conformance},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

fn document(text: &str) -> Document {
    Document::from_json(Material::from(text.to_owned())).unwrap()
}

fn path(text: &str) -> RecordPath {
    text.parse().unwrap()
}

fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder.join("objects")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// The one file that is there now and was not before.
fn newest(folder: &Path, before: &[PathBuf]) -> PathBuf {
    let new: Vec<PathBuf> = objects(folder).into_iter().filter(|path| !before.contains(path)).collect();
    assert_eq!(new.len(), 1);
    new[0].clone()
}

fn is_damaged<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Damaged { .. }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_keeps_every_rule() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(File::open(&folder.path().join("store")).await.unwrap());
    conformance::check(&store, &path("kit")).await.unwrap();
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again_and_no_file_holds_it_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("store");
    let store = File::open(&folder).await.unwrap();
    let value = document(r#"{"password":"canary-4711"}"#);
    store.write(&path("a/b"), &value, Expected::Absent).await.unwrap();
    drop(store);
    let store = File::open(&folder).await.unwrap();
    let read = store.read(&path("a/b"), Which::Latest).await.unwrap().unwrap();
    assert!(read.document.text().matches(value.text()));
    let control = folder.join("control");
    fs::replace(&control, value.text().expose()).unwrap(); // EXPOSE: the control of the search below
    let mut seen = Vec::new();
    for file in objects(&folder).into_iter().chain(["index.age", "identity", "lock", "control"].map(|n| folder.join(n)))
    {
        fs::require_private(&file).unwrap();
        if String::from_utf8_lossy(&fs::read(&file).unwrap()).contains("canary") {
            seen.push(file);
        }
    }
    assert_eq!(seen, [control], "the search sees the control, and nothing else");
}

#[tokio::test]
async fn an_exchanged_altered_or_missing_file_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::private_folder(&folder.join("store")).unwrap();
    let folder = folder.join("store");
    let store = File::open(&folder).await.unwrap();
    store.write(&path("a"), &document(r#"{"n":1}"#), Expected::Absent).await.unwrap();
    let before = objects(&folder);
    let one = before[0].clone();
    store.write(&path("a"), &document(r#"{"n":2}"#), Expected::Newest(Version(1))).await.unwrap();
    let two = newest(&folder, &before);
    let (first, second) = (fs::read(&one).unwrap(), fs::read(&two).unwrap());

    fs::replace(&two, &first).unwrap();
    let read = store.read(&path("a"), Which::Latest).await;
    assert!(is_damaged(&read), "an older version in its place: {read:?}");
    for at in [0, 30, second.len() / 2, second.len() - 1] {
        let mut altered = second.clone();
        altered[at] ^= 1;
        fs::replace(&two, &altered).unwrap();
        assert!(is_damaged(&store.read(&path("a"), Which::Latest).await), "byte {at}");
    }
    fs::replace(&two, &second[..second.len() - 1]).unwrap();
    assert!(is_damaged(&store.read(&path("a"), Which::Latest).await), "cut short");
    std::fs::remove_file(&two).unwrap();
    assert!(is_damaged(&store.read(&path("a"), Which::Latest).await), "gone");
    fs::replace(&two, &second).unwrap();
    assert!(store.read(&path("a"), Which::Latest).await.unwrap().is_some(), "the control: as it was, it is read");
}

#[tokio::test]
async fn an_old_or_foreign_index_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("store");
    let store = File::open(&folder).await.unwrap();
    let index = folder.join("index.age");
    store.write(&path("a"), &document("{}"), Expected::Absent).await.unwrap();
    let old = fs::read(&index).unwrap();
    store.write(&path("a"), &document("{}"), Expected::Newest(Version(1))).await.unwrap();
    store.read(&path("a"), Which::Latest).await.unwrap();
    let now = fs::read(&index).unwrap();

    fs::replace(&index, &old).unwrap();
    let read = store.read(&path("a"), Which::Latest).await;
    assert!(is_damaged(&read), "put back from a copy: {read:?}");
    let written = store.write(&path("a"), &document("{}"), Expected::Newest(Version(1))).await;
    assert!(is_damaged(&written), "{written:?}");

    let other = age::encrypt(&identity::read(&folder.join("identity")).unwrap().to_public(), b"{}").unwrap();
    fs::replace(&index, &other).unwrap();
    assert!(is_damaged(&store.list(&path("a")).await), "made by one who knows the recipient alone");
    assert!(matches!(File::open(&folder).await, Err(OpenError::Index { .. })));
    fs::replace(&index, &now).unwrap();
    assert!(store.read(&path("a"), Which::Latest).await.unwrap().is_some());
}

#[tokio::test]
async fn a_lost_identity_or_index_makes_no_new_store() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("store");
    let store = File::open(&folder).await.unwrap();
    store.write(&path("a"), &document("{}"), Expected::Absent).await.unwrap();
    let aside = |name: &str| (folder.join(name), folder.join(format!("{name}.aside")));
    for name in ["identity", "index.age"] {
        let (from, to) = aside(name);
        std::fs::rename(&from, &to).unwrap();
        let opened = File::open(&folder).await;
        assert!(
            matches!(opened, Err(OpenError::IdentityLost { .. } | OpenError::IndexLost { .. })),
            "without {name}: {opened:?}"
        );
        assert!(!from.exists());
        std::fs::rename(&to, &from).unwrap();
    }
    let other = tempfile::tempdir().unwrap();
    File::open(&other.path().join("store")).await.unwrap();
    let (from, to) = aside("identity");
    std::fs::rename(&from, &to).unwrap();
    std::fs::copy(other.path().join("store/identity"), &from).unwrap();
    assert!(matches!(File::open(&folder).await, Err(OpenError::Index { .. })), "another identity");
    std::fs::rename(&to, &from).unwrap();
    assert!(File::open(&folder).await.unwrap().read(&path("a"), Which::Latest).await.unwrap().is_some());
}

#[tokio::test]
async fn what_a_killed_writer_left_is_swept_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("store");
    let store = File::open(&folder).await.unwrap();
    store.write(&path("a"), &document("{}"), Expected::Absent).await.unwrap();
    let kept = objects(&folder);
    let orphan = folder.join("objects").join(format!("{}.age", "0".repeat(64)));
    for leftover in [orphan, folder.join("objects/.x.age.0123.new"), folder.join(".index.age.0123.new")] {
        fs::replace(&leftover, b"x").unwrap();
        let store = File::open(&folder).await.unwrap();
        assert!(!leftover.exists(), "{}", leftover.display());
        assert!(store.read(&path("a"), Which::Latest).await.unwrap().is_some());
    }
    assert_eq!(objects(&folder), kept);
}

#[tokio::test]
async fn a_destroyed_version_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("store");
    let store = File::open(&folder).await.unwrap();
    store.write(&path("a"), &document("{}"), Expected::Absent).await.unwrap();
    assert_eq!(objects(&folder).len(), 1, "the control");
    store.destroy(&path("a"), &[Version(1)]).await.unwrap();
    assert!(objects(&folder).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_openings_of_one_folder_exclude_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("store");
    let stores = [File::open(&folder).await.unwrap(), File::open(&folder).await.unwrap()];
    for round in 0..40 {
        let expected = if round == 0 { Expected::Absent } else { Expected::Newest(Version(round)) };
        let (path, document) = (path("a"), document("{}"));
        let [one, two] = &stores;
        let (one, two) = tokio::join!(one.write(&path, &document, expected), two.write(&path, &document, expected));
        assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1, "{one:?} {two:?}");
    }
}

#[tokio::test]
async fn a_folder_that_others_can_enter_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("store");
    File::open(&folder).await.unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(File::open(&folder).await, Err(OpenError::File(fs::FileError::TooOpen { .. }))));
}
