//! What a temporary Vault leaves in sight: nothing that opens it, in no file and no process.

use donjon::vault::{Standing, shares};
use donjon_drivers::{
    material::Material,
    store::vault::{Address, Call, Connection, Method},
};
use donjon_tests::{
    search::modes,
    temporary::{Custodians, Home, kill, replaced, stands, write},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where any of some bytes are: in the regular files below a folder, or in what anybody sees of a process.
fn sightings(folder: &Path, pids: &[i32], needles: &[Vec<u8>]) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = modes(folder).into_iter().map(|(path, _)| path).filter(|p| p.is_file()).collect();
    for pid in pids {
        places.extend(["cmdline", "environ"].map(|name| PathBuf::from(format!("/proc/{pid}/{name}"))));
    }
    let search = aho_corasick::AhoCorasick::new(needles).expect("the needles are few");
    places.retain(|place| search.is_match(&std::fs::read(place).expect("what is to be searched can be read")));
    places
}

/// A share in the forms in which it could be written by accident.
fn forms(secret: &Material) -> Vec<Vec<u8>> {
    let text = secret.expose().to_vec(); // EXPOSE: the test looks for it
    let mut forms = vec![text.clone()];
    if let Ok(raw) = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &text) {
        forms.push(raw.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect());
        forms.push(raw);
    }
    forms
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_share_and_no_credential_lies_in_clear_and_every_file_is_private() {
    // Nothing may rely on the umask.
    rustix::process::umask(rustix::fs::Mode::empty());
    let people = Custodians::three();
    for custody in [None, Some(people.custody())] {
        let home = Home::make();
        let vault = home.up(custody.clone()).await;
        let tending = tokio::spawn(Arc::clone(&vault).tend());
        write(&vault, 1).await;
        let pid = vault.pid();
        kill(pid);
        let secrets: Vec<Material> = match custody {
            None => vec![shares::of_host(&home.place(), 0).unwrap(), shares::credential(&home.place()).unwrap()],
            Some(_) => (0..3).map(|number| people.share(&home, number)).collect(),
        };
        match custody {
            None => replaced(&vault, pid).await,
            Some(_) => {
                stands(&vault, |standing| matches!(standing, Standing::Waiting { .. })).await;
                people.open(&home, &vault).await;
            }
        }
        let needles: Vec<Vec<u8>> = secrets.iter().flat_map(forms).collect();
        let pids = [vault.pid(), rustix::process::getpid().as_raw_nonzero().get()];

        let url = vault.url();
        let seen = sightings(&home.vault(), &pids, &[url.into_bytes()]);
        assert!(seen.contains(&home.place().configuration()), "the control: the search sees the address");
        let argument = home.place().configuration().display().to_string().into_bytes();
        let seen = sightings(&home.vault(), &pids[..1], &[argument]);
        assert!(seen.iter().any(|place| place.ends_with("cmdline")), "the control: it sees arguments: {seen:?}");
        let scratch = tempfile::tempdir().unwrap();
        for needle in &needles {
            let file = scratch.path().join("scratch");
            donjon_drivers::fs::replace(&file, &[b"before", &needle[..], b"after"].concat()).unwrap();
            assert_eq!(sightings(scratch.path(), &[], &needles), [file], "the control: it sees a secret");
        }
        assert_eq!(sightings(&home.vault(), &pids, &needles), [] as [PathBuf; 0]);
        // Tokens of OpenBao and Vault begin so; the storage is encrypted and may hold any two bytes.
        let tokens: Vec<PathBuf> = modes(&home.vault())
            .into_iter()
            .map(|(path, _)| path)
            .filter(|path| path.is_file() && !path.starts_with(home.place().storage()))
            .filter(|path| {
                let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
                text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').any(|word| {
                    word.len() > 20 && (word.starts_with("s.") || word.starts_with("hvs.") || word.starts_with("b."))
                })
            })
            .collect();
        assert_eq!(tokens, [] as [PathBuf; 0]);

        for (path, mode) in modes(&home.vault()) {
            let wanted = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, wanted, "{} has mode {mode:o}", path.display());
        }
        tending.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_root_token_outlives_a_bring_up() {
    let (home, people) = (Home::make(), Custodians::three());
    let vault = home.up(Some(people.custody())).await;
    let pid = vault.pid();
    drop(vault);
    // The daemon died: two custodians make a root token, which mints the broker's credential and is revoked.
    let vault = home.up(None).await;
    assert_eq!(vault.pid(), pid);
    people.open(&home, &vault).await;
    let roots = root_tokens(&home, &people).await;
    assert_eq!(roots, 1, "the one that this test made to look, and no other");
}

/// How many root tokens a Vault knows, the one that is made for the look included.
async fn root_tokens(home: &Home, people: &Custodians) -> usize {
    let connection = Connection::open(&Address::of_socket(home.place().socket())).expect("the address is one");
    let post = async |path: &str, body: serde_json::Value| -> serde_json::Value {
        let call = Call::post(path, Material::from(body.to_string()));
        connection.call(call).await.expect("it is taken").parse().expect("it answers in JSON")
    };
    let attempt = post("sys/generate-root/attempt", serde_json::json!({})).await;
    let mut encoded = String::new();
    for number in [0, 1] {
        let share = people.share(home, number);
        let key = share.expose_text().expect("a share is text"); // EXPOSE: the share of a test
        let body = serde_json::json!({"key": key, "nonce": attempt["nonce"]});
        let update = post("sys/generate-root/update", body).await;
        encoded = update["encoded_token"].as_str().unwrap_or_default().to_owned();
    }
    let pad = attempt["otp"].as_str().expect("an attempt has a pad").as_bytes();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD_NO_PAD, encoded).expect("base64");
    let root: Vec<u8> = bytes.iter().zip(pad).map(|(a, b)| a ^ b).collect();
    connection.use_token(Material::new(root));
    let listed = connection.call(Call::new(Method::List, "auth/token/accessors")).await;
    let listed: serde_json::Value = match listed {
        Ok(answer) => answer.parse().expect("it answers in JSON"),
        Err(error) => panic!("{error}"),
    };
    let mut roots = 0;
    for accessor in listed["data"]["keys"].as_array().expect("tokens are listed") {
        let token = post("auth/token/lookup-accessor", serde_json::json!({"accessor": accessor})).await;
        roots += usize::from(token["data"]["policies"] == serde_json::json!(["root"]));
    }
    roots
}
