//! Key repositories: on folders, through faults, and under a real Keystone of two instances.

use async_trait::async_trait;
use donjon_drivers::{
    host::{Command, Host, HostError, Output, local::Local},
    keyring::{
        Haste, Keyring, KeyringError, Node, acts,
        document::Repository,
        repository::{KeyRepository, Member, Rules},
    },
    material::Material,
};
use donjon_policies::keyring::{Act, Refusal};
use donjon_tests::{
    keystone::{Keystone, Setup, key},
    mariadb::MariaDb,
    process::wait_for,
};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

fn material(text: &str) -> Material {
    Material::from(text.to_owned())
}

/// A value as the recipe makes it.
fn repository(keys: &[(u32, &str)]) -> Repository {
    let object: Map<String, Value> = keys.iter().map(|(index, key)| (index.to_string(), (*key).into())).collect();
    Repository::parse(&material(&Value::Object(object).to_string())).unwrap()
}

/// What lies in a folder, as the store would have it.
fn stored(folder: &Path) -> Repository {
    let keys: Vec<(u32, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().parse().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect();
    repository(&keys.iter().map(|(index, key)| (*index, key.as_str())).collect::<Vec<_>>())
}

/// This machine, where a program's input may be cut after some bytes, as a connection that breaks does it.
struct Fragile {
    local: Local,
    cut: AtomicUsize,
}

impl Fragile {
    const WHOLE: usize = usize::MAX;
}

#[async_trait]
impl Host for Fragile {
    async fn run(&self, command: Command<'_>) -> Result<Output, HostError> {
        let input = command.input.map(|input| {
            let bytes = input.expose(); // EXPOSE: keys that the test made
            Material::new(bytes[..bytes.len().min(self.cut.load(SeqCst))].to_vec())
        });
        self.local.run(Command { input: input.as_ref(), ..command }).await
    }
}

fn keyring(folders: &[PathBuf], life: u64, before_prune: Vec<String>) -> (KeyRepository, Arc<Fragile>) {
    let host = Arc::new(Fragile { local: Local::new("local", vec![]), cut: AtomicUsize::new(Fragile::WHOLE) });
    let members = folders.iter().enumerate().map(|(at, folder)| {
        let path = folder.display().to_string();
        let node = Node { name: format!("node{at}"), place: format!("local:{path}") };
        Member { node, host: Arc::clone(&host) as Arc<dyn Host>, path }
    });
    let rules = Rules {
        most: 3,
        life: Duration::from_secs(life),
        before_prune,
        owner: String::new(),
        group: String::new(),
        mode: "u=rw".to_owned(),
        within: Duration::from_secs(60),
    };
    (KeyRepository::new(members.collect(), rules), host)
}

async fn write(
    keyring: &KeyRepository,
    at: usize,
    act: Act,
    wanted: &Repository,
    known: &[&Repository],
) -> Result<(), KeyringError> {
    keyring.write(&keyring.nodes()[at], act, Haste::Outlived, wanted, known).await.map(drop)
}

#[tokio::test]
async fn a_reader_never_sees_half_a_key_nor_lacks_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    let (keyring, host) = keyring(std::slice::from_ref(&path), 0, vec![]);
    let mut current = repository(&[(0, &key()), (1, &key()), (2, &key())]);
    write(&keyring, 0, Act::Add, &current, &[]).await.unwrap();
    write(&keyring, 0, Act::Promote, &current, &[]).await.unwrap();
    write(&keyring, 0, Act::Prune, &current, &[]).await.unwrap();
    assert_eq!(keyring.read(&keyring.nodes()[0]).await.unwrap().ring, current.ring());
    donjon_drivers::fs::replace(&path.join("README"), b"not a key").unwrap();

    // As Keystone reads: the folder first, then each file, all the time.
    let (end, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let reader = std::thread::spawn({
        let (end, reads, path) = (Arc::clone(&end), Arc::clone(&reads), path.clone());
        move || {
            let mut last = String::new();
            while !end.load(SeqCst) {
                let names = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name());
                let indices: Vec<u32> = names.filter_map(|name| name.to_str().unwrap().parse().ok()).collect();
                // A key that has gone since the folder was listed is an old one.
                let keys: Vec<(u32, String)> = indices
                    .into_iter()
                    .filter_map(|index| Some((index, fs::read_to_string(path.join(index.to_string())).ok()?)))
                    .collect();
                assert!(keys.iter().all(|(_, key)| key.len() == 44), "half a key");
                assert!(last.is_empty() || keys.iter().any(|(_, key)| *key == last), "what signed before is lacking");
                last = keys.into_iter().max().unwrap().1;
                reads.fetch_add(1, SeqCst);
            }
        }
    });
    for round in 0..4 {
        let wanted = current.rotated(&material(&key()), 3).unwrap();
        for act in [Act::Add, Act::Promote, Act::Prune] {
            // It has read since: a key that is two rounds old may be lacking.
            let before = reads.load(SeqCst);
            wait_for("the reader", Duration::from_secs(60), || reads.load(SeqCst) > before + 1);
            // The connection breaks somewhere in the middle, then the act is done again.
            host.cut.store(60 * (round + 1), SeqCst);
            let broken = write(&keyring, 0, act, &wanted, &[&current]).await;
            host.cut.store(Fragile::WHOLE, SeqCst);
            assert!(act == Act::Add || broken.is_err(), "{act:?} of {round}");
            for _ in 0..2 {
                write(&keyring, 0, act, &wanted, &[&current]).await.unwrap();
            }
        }
        assert_eq!(keyring.read(&keyring.nodes()[0]).await.unwrap().ring, wanted.ring());
        current = wanted;
    }
    end.store(true, SeqCst);
    reader.join().unwrap();
    assert!(reads.load(SeqCst) > 100, "the control: {} reads", reads.load(SeqCst));
    for entry in fs::read_dir(&path).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != "README") {
        let (file, own) = (entry.metadata().unwrap(), fs::metadata(&path).unwrap());
        assert_eq!((file.mode() & 0o777, file.uid(), file.gid()), (0o600, own.uid(), own.gid()));
        assert!(entry.file_name().to_string_lossy().parse::<u32>().is_ok(), "{:?} was left", entry.file_name());
    }
}

#[tokio::test]
async fn what_someone_else_changed_is_reported_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let (keyring, _) = keyring(std::slice::from_ref(&path), 3600, vec![]);
    let current = repository(&[(0, &key()), (1, &key()), (2, &key())]);
    for act in [Act::Add, Act::Promote, Act::Prune] {
        write(&keyring, 0, act, &current, &[]).await.unwrap();
    }
    let wanted = current.rotated(&material(&key()), 3).unwrap();
    // As `keystone-manage fernet_rotate` would have left it.
    fs::rename(path.join("0"), path.join("3")).unwrap();
    donjon_drivers::fs::replace(&path.join("0"), key().as_bytes()).unwrap();
    let refused = write(&keyring, 0, Act::Add, &wanted, &[&current]).await;
    assert!(
        matches!(&refused, Err(KeyringError::Refused { source: Refusal::Foreign(at), .. }) if *at == [0]),
        "{refused:?}"
    );
    fs::rename(path.join("3"), path.join("0")).unwrap();
    for act in [Act::Add, Act::Promote] {
        write(&keyring, 0, act, &wanted, &[&current]).await.unwrap();
    }
    let young = write(&keyring, 0, Act::Prune, &wanted, &[&current]).await;
    assert!(
        matches!(&young, Err(KeyringError::Refused { source: Refusal::Young { index: 1, .. }, .. })),
        "its successor came just now: {young:?}"
    );
    let node = &keyring.nodes()[0];
    keyring.write(node, Act::Prune, Haste::Compromised, &wanted, &[&current]).await.unwrap();
    assert_eq!(stored(&path).ring(), wanted.ring());
    fs::remove_dir_all(&path).unwrap();
    let gone = keyring.read(node).await;
    assert!(matches!(&gone, Err(KeyringError::Failed { what, .. }) if what.contains("no such folder")), "{gone:?}");
}

/// Tokens that each instance has issued must be good at each.
/// The service's own user puts links in the place of every name that appears in its folder, as fast as it can.
fn swap_names(folder: &Path, elsewhere: &Path, end: &AtomicBool) -> usize {
    let mut swapped = 0;
    while !end.load(SeqCst) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if !name.starts_with(".donjon") || path.is_symlink() {
                continue;
            }
            let target = if path.is_dir() { elsewhere.to_owned() } else { elsewhere.join("key") };
            if fs::rename(&path, folder.join(format!("away{swapped}"))).is_ok() {
                // Another name may be there by now.
                let _ = std::os::unix::fs::symlink(target, &path);
                swapped += 1;
            }
        }
    }
    swapped
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_owns_the_folder_gets_no_file_of_anybody_else() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (path, victim) = (folder.path().to_owned(), elsewhere.path().join("key"));
    fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    donjon_drivers::fs::replace(&victim, b"root's own").unwrap();
    let (keyring, _) = keyring(std::slice::from_ref(&path), 0, vec![]);
    let current = repository(&[(0, &key()), (1, &key())]);
    for act in [Act::Add, Act::Promote] {
        write(&keyring, 0, act, &current, &[]).await.unwrap();
    }
    assert_eq!(fs::metadata(path.join("1")).unwrap().uid(), NOBODY, "a key is the folder's owner's");
    // A link in the place of a key is none, and is replaced itself.
    fs::remove_file(path.join("0")).unwrap();
    std::os::unix::fs::symlink(&victim, path.join("0")).unwrap();
    assert_eq!(keyring.read(&keyring.nodes()[0]).await.unwrap().ring.0.len(), 1);

    let end = Arc::new(AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let (end, path, elsewhere) = (Arc::clone(&end), path.clone(), elsewhere.path().to_owned());
        move || swap_names(&path, &elsewhere, &end)
    });
    let mut refused = 0;
    for round in 0..40 {
        let wanted = repository(&[(0, &key()), (1, &key())]);
        for index in ["0", "1"] {
            // What the last round left, or did not.
            let _ = fs::remove_file(path.join(index));
        }
        refused += usize::from(write(&keyring, 0, Act::Add, &wanted, &[]).await.is_err());
        let found = fs::symlink_metadata(&victim).unwrap();
        assert_eq!(
            (found.uid(), found.permissions().mode() & 0o777, fs::read(&victim).unwrap()),
            (0, 0o600, b"root's own".to_vec()),
            "round {round}"
        );
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "round {round}");
    }
    end.store(true, SeqCst);
    let swapped = swapping.join().unwrap();
    println!("{swapped} names swapped, {refused} of 40 writes refused");
    assert!(swapped > 0, "the attack happened");
}

async fn all_accept_all(keystone: &Keystone, tokens: &mut Vec<String>, when: &str) {
    for from in 0..keystone.instances.len() {
        tokens.push(keystone.token(from, "app", "value-1").await.unwrap());
    }
    // The latest: older ones may have gone with their key.
    let recent = tokens.len().saturating_sub(4);
    for token in &tokens[recent..] {
        for at in 0..keystone.instances.len() {
            assert!(keystone.accepts(at, token).await, "{when}: not accepted by {at}");
        }
    }
}

#[tokio::test]
async fn fernet_keys_rotate_under_two_instances_and_no_token_is_refused() {
    let database = MariaDb::start().await;
    let keystone = Keystone::start_with(&database, Setup { more: 1, ..Setup::default() }).await;
    keystone.user("app", "value-1").await;
    assert_eq!(keystone.token(1, "app", "value-2").await, Err(401));
    let folders: Vec<PathBuf> = keystone.instances.iter().map(|instance| instance.repository("fernet")).collect();
    let (keyring, host) = keyring(&folders, 0, vec![]);
    let mut current = stored(&folders[0]);
    let mut tokens = Vec::new();
    all_accept_all(&keystone, &mut tokens, "before").await;
    // Two rotations, the second of which removes a key; the control below is a third.
    for round in 0..2 {
        let wanted = current.rotated(&material(&key()), 3).unwrap();
        for act in [Act::Add, Act::Promote, Act::Prune] {
            for at in 0..folders.len() {
                // The first node is done, the connection to the second breaks: the rotation stands there for a while.
                if at == 1 {
                    host.cut.store(70, SeqCst);
                    let _ = write(&keyring, at, act, &wanted, &[&current]).await;
                    host.cut.store(Fragile::WHOLE, SeqCst);
                    all_accept_all(&keystone, &mut tokens, &format!("{act:?} of {round}, broken at {at}")).await;
                }
                write(&keyring, at, act, &wanted, &[&current]).await.unwrap();
            }
            all_accept_all(&keystone, &mut tokens, &format!("{act:?} of {round}")).await;
        }
        current = wanted;
    }

    // The control: a key that signs on one node before the other has it. The same is refused where all nodes are asked.
    let wanted = current.replaced(&material(&key()), &material(&key())).unwrap();
    let early = acts::everywhere(&keyring, Act::Promote, Haste::Outlived, &wanted, &[&current]).await;
    assert!(matches!(&early, Err(KeyringError::Refused { source: Refusal::NotAdded, .. })), "{early:?}");
    for act in [Act::Add, Act::Promote] {
        write(&keyring, 0, act, &wanted, &[&current]).await.unwrap();
    }
    let token = keystone.token(0, "app", "value-1").await.unwrap();
    assert_eq!([keystone.accepts(0, &token).await, keystone.accepts(1, &token).await], [true, false]);
    // And it heals with the act that was left out.
    write(&keyring, 1, Act::Add, &wanted, &[&current]).await.unwrap();
    assert!(keystone.accepts(1, &token).await);
    for act in [Act::Promote, Act::Prune] {
        acts::everywhere(&keyring, act, Haste::Compromised, &wanted, &[&current]).await.unwrap();
    }
    assert!(keystone.accepts(1, &token).await, "what the new key signed lives");
    assert!(!keystone.accepts(0, tokens.last().unwrap()).await, "what the old keys signed does not");
}

#[tokio::test]
async fn credentials_are_migrated_before_their_key_goes() {
    let database = MariaDb::start().await;
    let keystone = Keystone::start(&database).await;
    let user = keystone.user("app", "value-1").await;
    let admin = keystone.admin(0).await;
    let blob = "canary-of-a-credential";
    let body = json!({"credential": {"type": "totp", "user_id": user, "blob": blob}});
    let (status, made) = keystone.call(0, Method::POST, "/v3/credentials", &admin, Some(body)).await;
    assert_eq!(status, 201, "{made}");
    let path = format!("/v3/credentials/{}", made["credential"]["id"].as_str().unwrap());
    let decrypted = async || {
        let (status, content) = keystone.call(0, Method::GET, &path, &admin, None).await;
        if status == 200 { content["credential"]["blob"].as_str().unwrap().to_owned() } else { status.to_string() }
    };
    assert_eq!(decrypted().await, blob);
    let folder = keystone.instances[0].repository("credential");
    let mut current = stored(&folder);
    let whose = fs::metadata(&folder).unwrap().uid().to_string();
    let migrate =
        keystone.instances[0].manage(&["credential_migrate", "--keystone-user", &whose, "--keystone-group", &whose]);
    let rotate = async |current: &Repository, before_prune: Vec<String>| {
        let (keyring, _) = keyring(std::slice::from_ref(&folder), 0, before_prune);
        let wanted = current.replaced(&material(&key()), &material(&key())).unwrap();
        for act in [Act::Add, Act::Promote, Act::Prune] {
            write(&keyring, 0, act, &wanted, &[current]).await?;
        }
        Ok::<_, KeyringError>(wanted)
    };
    // Where it cannot be migrated, no key goes.
    let failed = rotate(&current, vec!["false".to_owned()]).await;
    assert!(matches!(&failed, Err(KeyringError::Failed { what, .. }) if what.contains("no key goes")), "{failed:?}");
    assert_eq!(decrypted().await, blob);
    current = stored(&folder);
    current = rotate(&current, migrate).await.unwrap();
    assert_eq!(decrypted().await, blob);
    assert_eq!(stored(&folder).ring(), current.ring());
    // The control: left unmigrated, it cannot be decrypted any more.
    rotate(&current, vec![]).await.unwrap();
    assert_eq!(decrypted().await, "500");
}

const NOBODY: u32 = 65534;
