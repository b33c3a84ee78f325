//! A host leaves: with the credentials that `export vault` made for it nobody logs in any more, the tokens that came of
//! them are revoked, and no bundle from then on is encrypted to it. Others go on.

use super::overcloud::DEPLOYMENT;
use donjon_drivers::{
    material::Material,
    store::vault::{Call, CallError, Connection, Method, Reason},
};
use donjon_tests::{
    donjon::{Donjon, Ran},
    openbao::OpenBao,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::PathBuf};

struct Place {
    donjon: Donjon,
    server: OpenBao,
    files: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let place = Self { donjon: Donjon::new(), server: OpenBao::start().await, files: tempfile::tempdir().unwrap() };
        place.donjon.describe(&format!("{DEPLOYMENT}sites:\n  edge1: {{roles: [keystone], recipients: []}}\n"));
        place.donjon.run(&["up", "--store", "file"]).ok();
        place.donjon.run_with_input(&["put", "keystone_database_password"], b"s3cret-4711").ok();
        // EXPOSE: the token of a server that lives for one test
        donjon_drivers::fs::replace(&place.path("token"), place.server.root().expose()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// A command that goes to the server, by the broker of the old store or of the new one.
    fn run(&self, by: &Donjon, words: &[&str]) -> Ran {
        let (authority, token) = (self.server.authority().display().to_string(), self.path("token"));
        let at = ["--address", &self.server.address().url, "--cacert", &authority, "--token-file"];
        by.run(&[words, &at, &[&token.display().to_string(), "--output", "json"]].concat())
    }

    /// A login with the credential that was made for a host: its token.
    async fn log_in(&self, host: &str) -> Result<Material, CallError> {
        let read = |name: &str| std::fs::read_to_string(self.path(&format!("made/{host}/keystone/{name}"))).unwrap();
        let body = json!({"role_id": read("role-id"), "secret_id": read("secret-id")}).to_string();
        let connection = Connection::open(self.server.address()).unwrap();
        let answer = connection.call(Call::post("auth/approle/login", Material::from(body))).await?;
        let answer: Value = answer.parse().unwrap();
        Ok(Material::from(answer["auth"]["client_token"].as_str().unwrap().to_owned()))
    }

    /// Whether a token reads what its role reads; anything but yes and no is no answer.
    async fn reads(&self, token: &Material) -> bool {
        let connection = Connection::open(self.server.address()).unwrap();
        let call = Call::new(Method::Get, "donjon/data/site1/keystone.database.connection");
        match connection.call_with(token, call).await {
            Ok(_) => true,
            Err(CallError::Refused { reason: Reason::Denied, .. }) => false,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// A bundle for a host, to the recipients of its site: to how many.
    fn export(&self, host: &str) -> u64 {
        let file = self.path(host).display().to_string();
        let words = ["export", "bundle", "--site", "edge1", "--role", "keystone", "--host", host, "-o", &file];
        let done = self.donjon.run(&[&words[..], &["--output", "json"]].concat()).json();
        done["bundle"]["recipients"].as_u64().unwrap()
    }
}

#[tokio::test]
async fn its_logins_and_tokens_end_and_those_of_others_go_on() {
    let place = Place::new().await;
    let folder = place.path("made").display().to_string();
    let push = ["export", "vault", "--credentials", &folder, "--host", "ctl1", "--host", "ctl2"];
    place.run(&place.donjon, &push).ok();
    // The authority has moved, so it is the broker there that lets a host go.
    let mut there = Donjon::new();
    there.describe(DEPLOYMENT);
    there.set("BAO_ADDR", &place.server.address().url);
    there.set("BAO_CACERT", &place.server.authority().display().to_string());
    // EXPOSE: the token of a server that lives for one test
    there.set("BAO_TOKEN", place.server.root().expose_text().unwrap());
    there.up();
    let (gone, stays) = (place.log_in("ctl1").await.unwrap(), place.log_in("ctl2").await.unwrap());
    assert!(place.reads(&gone).await && place.reads(&stays).await, "the control");

    let retired = place.run(&there, &["retire-host", "ctl1"]).json();
    assert_eq!(retired["revoked"], json!({"credentials": 1, "tokens": 1}), "{retired}");
    assert!(!place.reads(&gone).await, "its token is refused");
    let login = place.log_in("ctl1").await;
    assert!(matches!(login, Err(CallError::Refused { .. })), "its credential is refused: {login:?}");
    assert!(place.reads(&stays).await && place.log_in("ctl2").await.is_ok(), "the other host goes on");
    place.run(&there, &["retire-host", "ctl1"]).failed(4);
}

#[tokio::test]
async fn no_later_bundle_is_encrypted_to_it() {
    let place = Place::new().await;
    let [own, other] = [(); 2].map(|()| age::x25519::Identity::generate().to_public().to_string());
    for (host, recipient) in [("ctl1", &own), ("ctl2", &other)] {
        let add = ["recipients", "add", recipient, "--name", host, "--site", "edge1"];
        place.donjon.run(&add).ok();
    }
    assert_eq!((place.export("ctl1"), place.export("ctl2")), (2, 2), "the control");
    let retired = place.donjon.run(&["retire-host", "ctl1", "--output", "json"]).json();
    assert_eq!(retired["recipients"], json!([own]), "{retired}");
    assert!(retired["bundles"].to_string().contains("host `ctl1`"), "{retired}");
    assert_eq!(place.export("ctl2"), 1, "the other host's alone");
    let exposed = retired["exposed"].as_array().unwrap();
    assert!(exposed.iter().any(|one| one["name"] == "keystone.database.connection"), "what it has seen is told");

    // Its site leaves when the last of its recipients has been removed already: what they have seen is told all the same.
    place.donjon.run(&["recipients", "remove", "ctl2"]).ok();
    let retired = place.donjon.run(&["retire-host", "edge1", "--output", "json"]).json();
    let whose: BTreeSet<&str> = retired["recipients"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(whose, BTreeSet::from([own.as_str(), other.as_str()]), "{retired}");
    assert_eq!(retired["nothing"], false, "{retired}");
    assert!(!retired["exposed"].as_array().unwrap().is_empty(), "{retired}");
}
