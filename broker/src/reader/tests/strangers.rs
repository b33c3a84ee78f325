//! Who has no token changes nothing, whatever is asked, and is not told which roles there are; and who guesses has one
//! bucket, however things are spelt.

use super::{CANARY, Lines, lookup, path};
use crate::{
    reader::{
        Callers, Credential, Pace, Peer, Place, Reader, Role, Roles, Source, Tokens,
        answer::Answer,
        request::{Asked, By, Itself, Mounts, Route, Sealing, Wish},
        serve::Visit,
    },
    timing::{Kind, apart, timed},
};
use donjon_drivers::material::Material;
use hyper::{HeaderMap, Method, Uri, header::HeaderValue};
use proptest::prelude::*;
use std::{collections::BTreeSet, sync::Arc};

/// A reader with roles of which each has its credential; the tokens are in a file.
struct Node {
    reader: Reader,
    credentials: Vec<Credential>,
    lines: Arc<Lines>,
    folder: tempfile::TempDir,
}

const STRANGER: Peer = Peer { place: Place::Machine { uid: Some(7) }, key: None };
const NO_HURRY: Pace = Pace { each_second: 1e9, at_once: 1e9, refused: 1.0 };

fn node(pace: Pace, callers: &Callers) -> Node {
    let folder = tempfile::tempdir().unwrap();
    let made = |n: usize| Role::generate(format!("r{n}").parse().unwrap(), &[path("d/a")].into()).unwrap();
    let (roles, credentials): (Vec<Role>, Vec<Credential>) = (0..8).map(made).unzip();
    let roles = Roles::new(roles.into_iter().map(|role| role.of(callers.clone())));
    let source = Source { lookup: lookup("value-one", i64::MAX), roles };
    let tokens = Tokens::open(&folder.path().join("tokens"), 1000).unwrap();
    let lines = Arc::new(Lines::default());
    let reader = Reader::new(path("kv"), source, tokens, lines.clone(), || 1000).at_pace(pace);
    Node { reader, credentials, lines, folder }
}

impl Node {
    fn asked(&self, method: &Method, place: &str, token: Option<&str>, body: &str) -> Asked {
        let uri: Uri = place.parse().unwrap();
        let headers = token.map(|token| ("x-vault-token".parse().unwrap(), HeaderValue::from_str(token).unwrap()));
        let headers: HeaderMap = headers.into_iter().collect();
        Asked::new(self.reader.mount(), method.clone(), &uri, &headers, Material::from(body.to_owned()))
    }

    fn login(&self, role_id: &str, secret_id: &str) -> Asked {
        let body = format!(r#"{{"role_id":"{role_id}","secret_id":"{secret_id}"}}"#);
        self.asked(&Method::POST, LOGIN, None, &body)
    }

    async fn answer(&self, asked: Asked) -> Answer {
        self.reader.answer(asked, &Visit::new(STRANGER, None)).await
    }

    /// A token of the first role.
    async fn token(&self) -> String {
        let Credential { role_id, secret_id } = &self.credentials[0];
        let secret_id = secret_id.expose_text().unwrap(); // EXPOSE: a credential of one test
        let answer = text(&self.answer(self.login(role_id, secret_id)).await);
        let token = answer.split_once("\"client_token\":\"").expect("a token").1;
        token.split('"').next().unwrap().to_owned()
    }

    /// What is kept, and what the holder of a token is told of it.
    async fn state(&self, token: &str) -> (Vec<u8>, String) {
        let kept = std::fs::read(self.folder.path().join("tokens")).unwrap();
        let told = self.answer(self.asked(&Method::GET, "/v1/auth/token/lookup-self", Some(token), "")).await;
        assert_eq!(told.status, 200);
        (kept, text(&told).split_once("\"data\":").unwrap().1.to_owned())
    }
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.as_ref().map(|body| body.to_vec()).unwrap_or_default()).unwrap()
}

const LOGIN: &str = "/v1/auth/approle/login";

/// A place of every route there is, and what Vault has that this server has not.
const PLACES: [&str; 28] = [
    "/v1/sys/health",
    "/v1/sys/seal-status",
    "/v1/sys/init",
    "/v1/sys/leader",
    LOGIN,
    "/v1/auth/cert/login",
    "/v1/auth/token/lookup-self",
    "/v1/auth/token/renew-self",
    "/v1/auth/token/revoke-self",
    "/v1/sys/internal/ui/mounts",
    "/v1/sys/internal/ui/mounts/kv",
    "/v1/sys/internal/ui/mounts/other",
    "/v1/sys/donjon/records",
    "/v1/kv/data/d/a",
    "/v1/kv/data/",
    "/v1/kv/metadata",
    "/v1/kv/metadata/d/a",
    "/v1/kv/metadata/d/",
    "/v1//kv/data/d/a",
    "/v1/sys/seal",
    "/v1/sys/unseal",
    "/v1/sys/step-down",
    "/v1/sys/rekey/init",
    "/v1/sys/generate-root/attempt",
    "/v1/sys/rotate",
    "/v1/auth/token/create",
    "/v1/kv/destroy/d/a",
    "/outside",
];

/// Counts the routes: a new one has to be told here, and is then asked for above.
fn kind(route: &Route) -> usize {
    match route {
        Route::Itself(Itself::Health) => 0,
        Route::Itself(Itself::SealStatus) => 1,
        Route::Itself(Itself::Init) => 2,
        Route::Itself(Itself::Leader) => 3,
        Route::Login(By::AppRole) => 4,
        Route::Login(By::Key) => 5,
        Route::Token(Wish::Lookup) => 6,
        Route::Token(Wish::Renewal) => 7,
        Route::Token(Wish::Revocation) => 8,
        Route::Mounts(Mounts::All) => 9,
        Route::Mounts(Mounts::Ours) => 10,
        Route::Mounts(Mounts::Other) => 11,
        Route::Records => 12,
        Route::Data(_) => 13,
        Route::Metadata(_) => 14,
        Route::Elsewhere(_) => 15,
        Route::Unknown => 16,
        Route::Outside => 17,
        Route::Sealing(Sealing::Seal) => 18,
        Route::Sealing(Sealing::Unseal) => 19,
    }
}

#[tokio::test]
async fn no_request_without_a_token_changes_anything() {
    let node = node(NO_HURRY, &Callers::default());
    let (kept, given_up) = (node.token().await, node.token().await);
    node.answer(node.asked(&Method::POST, "/v1/auth/token/revoke-self", Some(&given_up), "")).await;
    let before = node.state(&kept).await;
    let role_id = &node.credentials[0].role_id;
    let bodies = [
        String::new(),
        "{}".to_owned(),
        format!(r#"{{"role_id":"{role_id}"}}"#),
        format!(r#"{{"role_id":"{role_id}","secret_id":"{CANARY}"}}"#),
        format!(r#"{{"token":"{kept}","increment":3600,"names":["d/a"]}}"#),
        format!(r#"{{"key":"{CANARY}"}}"#),
        r#"{"reset":true}"#.to_owned(),
    ];
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "LIST", "OPTIONS"];
    let methods = methods.map(|method| Method::from_bytes(method.as_bytes()).unwrap());
    let (mut seen, mut refused) = (BTreeSet::new(), 0);
    for place in PLACES {
        for method in &methods {
            for token in [None, Some("s.0123456789abcdef"), Some(given_up.as_str()), Some(role_id.as_str())] {
                for body in &bodies {
                    let asked = node.asked(method, place, token, body);
                    seen.insert(kind(&asked.route));
                    let about_itself = kind(&asked.route) < 4 || asked.route == Route::Mounts(Mounts::All);
                    let answer = node.answer(asked).await;
                    let told = text(&answer);
                    assert!(answer.status >= 300 || about_itself, "{method} {place}: {} {told}", answer.status);
                    assert!(!told.contains("value-one") && !told.contains(CANARY), "{method} {place}: {told}");
                    refused += usize::from(answer.status >= 400);
                }
            }
        }
    }
    assert!(seen.into_iter().eq(0..=19), "a route is missing here");
    assert_eq!(node.state(&kept).await, before);
    println!("{refused} refusals");
    // The control: whoever may, changes it.
    for act in ["renew-self", "revoke-self"] {
        let (kept, token) = (node.token().await, node.token().await);
        let before = node.state(&kept).await;
        node.answer(node.asked(&Method::POST, &format!("/v1/auth/token/{act}"), Some(&token), "")).await;
        assert_ne!(node.state(&kept).await, before, "{act}");
    }
}

#[tokio::test]
async fn many_users_who_are_refused_write_no_more_than_one() {
    let node = node(Pace { each_second: 0.0, at_once: 100.0, refused: 10.0 }, &Callers::default());
    let credential = &node.credentials[0];
    for uid in 100..200 {
        let peer = Peer { place: Place::Machine { uid: Some(uid) }, key: None };
        for _ in 0..3 {
            let answer = node.reader.answer(node.login(NOBODYS, NOBODYS), &Visit::new(peer, None)).await;
            assert!(matches!(answer.status, 400 | 429), "{}", answer.status);
        }
    }
    assert_eq!(node.lines.outcomes.lock().unwrap().len(), 10 + 1, "as of one, and one for all that came too fast");
    let secret_id = credential.secret_id.expose_text().unwrap(); // EXPOSE: a credential of one test
    assert_eq!(node.answer(node.login(&credential.role_id, secret_id)).await.status, 200, "who is right is let in");
}

/// A role-id that there is, and one that there is not, of the same form.
fn role_ids(node: &Node, turn: usize) -> [String; 2] {
    let other = uuid::Builder::from_random_bytes(std::array::from_fn(|n| (turn >> n) as u8 ^ n as u8)).into_uuid();
    [node.credentials[turn % 8].role_id.clone(), other.to_string()]
}

const NOBODYS: &str = "00000000-0000-4000-8000-000000000000";

#[tokio::test]
async fn which_role_ids_there_are_is_not_told_in_words() {
    let mut told = BTreeSet::new();
    // Also where the credential is right and whoever shows it is not.
    let others = node(NO_HURRY, &Callers { uids: [8].into(), ..Callers::default() });
    let open = node(NO_HURRY, &Callers::default());
    let secret_id = others.credentials[0].secret_id.expose_text().unwrap(); // EXPOSE: a credential of one test
    let right = others.login(&others.credentials[0].role_id, secret_id);
    let mut answers = vec![others.answer(right).await];
    for node in [&open, &others] {
        for role_id in role_ids(node, 0) {
            for secret_id in [NOBODYS, "short"] {
                answers.push(node.answer(node.login(&role_id, secret_id)).await);
            }
        }
    }
    for answer in answers {
        told.insert((answer.status, text(&answer)));
    }
    assert_eq!(told, [(400, r#"{"errors":["invalid role or secret ID"]}"#.to_owned())].into());
    // Nor where there is no secret-id at all.
    let mut told = BTreeSet::new();
    for role_id in role_ids(&open, 0) {
        let asked = open.asked(&Method::POST, LOGIN, None, &format!(r#"{{"role_id":"{role_id}"}}"#));
        let answer = open.answer(asked).await;
        told.insert((answer.status, text(&answer)));
    }
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn which_role_ids_there_are_is_not_told_in_time() {
    let node = node(NO_HURRY, &Callers::default());
    let mut turn = 0;
    let mut login = async |kind: Kind, leak: bool| {
        turn += 1;
        let [known, unknown] = role_ids(&node, turn);
        let role_id = if kind == Kind::One { known } else { unknown };
        let asked = node.login(&role_id, NOBODYS);
        let answered = async {
            // The control: whoever looks for the role first has a credential to compare for those that there are.
            if leak && node.credentials.iter().any(|credential| credential.role_id == role_id) {
                for _ in 0..32 {
                    std::hint::black_box(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, NOBODYS.as_bytes()));
                }
            }
            node.answer(asked).await
        };
        let (time, answer) = timed(answered).await;
        assert_eq!(answer.status, 400);
        time
    };
    let control = apart(async |kind| login(kind, true).await).await;
    assert!(control > 0.0, "the control: a comparison more is seen");
    let own = apart(async |kind| login(kind, false).await).await;
    assert!(own < control / 16.0, "{own} ns, where a comparison more is {control} ns");
}

/// Spellings of a login, and of a path, of which some are the same to a careless reader.
fn spelt() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let roles = ["r0", "R0", " r0", "r0 ", "r\u{2070}", "ｒ0", "r0\u{200b}", "r\u{30}\u{301}", "r0\\u0000", "r0%00"];
    let places = [
        LOGIN,
        "/v1/auth/approle/login/",
        "/v1//auth/approle/login",
        "/v1/auth/%61pprole/login",
        "/v1/AUTH/APPROLE/LOGIN",
        "/v1/./auth/approle/login",
        "/v1/auth/x/../approle/login",
        "/v1/auth/approle%2Flogin",
        "/v1/kv/data/d/a",
        "/v1/kv/data/D/A",
        "/v1/kv/data/d%2fa",
    ];
    let body = |role: &'static str| format!(r#"{{"role_id":"{role}","secret_id":"{role}"}}"#).into_bytes();
    (proptest::sample::select(places.to_vec()), proptest::sample::select(roles.to_vec()).prop_map(body))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_spelling_is_taken_from_one_bucket(asked in proptest::collection::vec(spelt(), 30..60)) {
        let pace = Pace { each_second: 0.0, at_once: 20.0, refused: 1.0 };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let node = node(pace, &Callers::default());
            let mut looked_at = 0;
            for (turn, (place, body)) in asked.iter().enumerate() {
                let mut headers = HeaderMap::new();
                // What somebody says of himself is no name to be counted by.
                for name in ["x-forwarded-for", "x-real-ip", "x-vault-token", "x-vault-namespace", "user-agent"] {
                    headers.insert(name, HeaderValue::from_str(&format!("192.0.2.{turn}")).unwrap());
                }
                let body = Material::new(body.clone());
                let asked = Asked::new(node.reader.mount(), Method::POST, &place.parse().unwrap(), &headers, body);
                looked_at += usize::from(node.answer(asked).await.status != 429);
            }
            assert_eq!(looked_at, 20);
        });
    }
}
