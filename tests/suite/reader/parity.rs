//! The same request to a real OpenBao and to the reader: the same status, the same errors, the same shape.

use super::{MOUNT, Served, deployed::Deployed, records, sides};
use donjon_drivers::store::{Document, RecordPath};
use donjon_tests::{openbao::OpenBao, wait};
use reqwest::Client;
use serde_json::Value;
use std::{collections::BTreeSet, time::Duration};

struct Side {
    client: Client,
    url: String,
    role_id: String,
    secret_id: String,
    token: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Compared {
    /// Status and the whole of the errors; of a success, every field's name and kind.
    All,
    /// Status and errors, these up to where theirs begin to repeat input, which ours never do.
    Shortened,
    /// Status, errors, and of all mounts the one that both have: theirs has some of its own.
    Mount,
}

struct Asked {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<&'static str>,
    compared: Compared,
}

impl Side {
    /// Asks until it is not told to ask more slowly, as who is refused so often is.
    async fn ask(&self, asked: &Asked) -> (u16, Value) {
        let in_turn = async || Some(self.ask_once(asked).await).filter(|(status, _)| *status != 429);
        wait::until("a turn", Duration::from_secs(30), in_turn).await
    }

    async fn ask_once(&self, asked: &Asked) -> (u16, Value) {
        let fill = |text: &str| {
            let text = text.replace("{token}", &self.token).replace("{role_id}", &self.role_id);
            text.replace("{secret_id}", &self.secret_id)
        };
        let method = reqwest::Method::from_bytes(asked.method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{}", self.url, asked.path));
        for (name, value) in &asked.headers {
            request = request.header(*name, fill(value));
        }
        if let Some(body) = asked.body {
            request = request.body(fill(body));
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn login(&mut self) {
        let body = Some(RIGHT);
        let asked = Asked { method: "POST", path: LOGIN.into(), headers: vec![], body, compared: Compared::All };
        let (status, answer) = self.ask(&asked).await;
        assert_eq!(status, 200, "{answer}");
        self.token = answer["auth"]["client_token"].as_str().unwrap().to_owned();
    }
}

/// An OpenBao with the same records, and a role with the same grants.
async fn openbao(server: &OpenBao, records: &[(RecordPath, Document)]) -> Side {
    let (role_id, secret_id) = sides::prepare(server, records).await;
    let url = server.address().url.clone();
    let client = sides::client(Some(&server.address().trust));
    let mut side = Side { client, url, role_id, secret_id, token: String::new() };
    side.login().await;
    side
}

async fn reader(url: &str, (role_id, secret_id): (String, String)) -> Side {
    let (client, url) = (sides::client(None), url.to_owned());
    let mut side = Side { client, url, role_id, secret_id, token: String::new() };
    side.login().await;
    side
}

/// What would change something, and what asks as nobody does who only reads: with a good token, with none, and with a wrong one.
fn of_others() -> Vec<Asked> {
    let mut all = Vec::new();
    for token in [&[("X-Vault-Token", "{token}")][..], &[], &[("X-Vault-Token", "wrong")]] {
        let mut add = |method, path: &str, kind: &'static str, body, compared| {
            let mut headers = token.to_vec();
            headers.extend(Some(("Content-Type", kind)).filter(|(_, kind)| !kind.is_empty()));
            let path = path.replace("{mount}", MOUNT);
            all.push(Asked { method, path: format!("/v1/{path}"), headers, body, compared });
        };
        use Compared::{All, Shortened};
        for (path, body) in WRITES {
            for method in ["POST", "PUT"] {
                add(method, path, "", Some(body), All);
            }
            for method in ["PATCH", "DELETE", "LIST", "OPTIONS", "BREW"] {
                add(method, path, "", None, All);
            }
            add("PATCH", path, PATCH, Some(body), All);
            add("POST", path, "", Some("{"), All);
        }
        for path in [RECORD, "sys/mounts/x", "auth/approle/login", "sys/health"] {
            add("PATCH", path, "Application/Merge-Patch+JSON; charset=utf-8", Some("{}"), All);
            add("PATCH", path, PATCH, Some("{"), All);
            add("PATCH", path, "application/canary", Some("{}"), Shortened);
        }
        for path in READS {
            add("HEAD", path, "", None, All);
            for method in ["DELETE", "OPTIONS", "SCAN", "BREW"] {
                add(method, path, "", None, All);
            }
            add("PATCH", path, PATCH, None, All);
        }
        for path in READS.into_iter().filter(|path| !path.contains('?')) {
            for asked in ASIDE {
                add("GET", &format!("{path}?{asked}"), "", None, All);
            }
        }
        for kind in [
            "",
            ";",
            "/",
            "application",
            "application;charset=utf-8",
            "application/",
            "appli cation/json",
            "application/json canary",
            "application/j/k",
            "application/x-www-form-urlencoded",
        ] {
            add("PATCH", RECORD, kind, Some("{}"), Shortened);
        }
        for (method, kind, body, compared) in [
            ("GET", "", None, All),
            ("DELETE", "", None, All),
            ("PATCH", PATCH, Some("{}"), All),
            ("POST", "", None, All),
            ("PUT", "", Some("{}"), All),
            ("PUT", "", Some("{"), All),
            ("PUT", "", Some("[]"), Shortened),
            ("PUT", "", Some("{\"key\":5}"), Shortened),
            ("PUT", "", Some("{\"key\":\"\"}"), All),
            ("PUT", FORM, Some("key=canary"), Shortened),
            ("PUT", "", Some("{\"KEY\":\"canary!\"}"), All),
            ("PUT", "", Some("{\"key\":null,\"other\":5}"), All),
            ("PUT", "", Some("{\"migrate\":5}"), Shortened),
            ("POST", "", Some("{\"reset\":null}"), All),
            ("POST", "", Some("[1,2"), All),
            ("POST", "", Some(" {\"reset\":null}\r\n"), All),
            ("POST", "", Some("\x0c{}"), Shortened),
        ] {
            add(method, "sys/unseal", kind, body, compared);
        }
        for path in ["{mount}/data/kolla/", "{mount}/metadata/kolla/", "sys/mounts/", "auth/approle/login/"] {
            for method in ["POST", "PUT"] {
                add(method, path, "", Some("{}"), All);
            }
        }
        for path in ["auth/token/lookup-self", "auth/token/renew-self", "auth/token/revoke-self"] {
            for method in ["HEAD", "LIST", "DELETE", "OPTIONS"] {
                add(method, path, "", None, All);
            }
            add("PATCH", path, PATCH, None, All);
            for asked in ["list=true", "scan=true", "list=canary"] {
                add("GET", &format!("{path}?{asked}"), "", None, All);
            }
        }
        for method in ["GET", "LIST"] {
            add(method, "auth/approle/login", "", None, All);
            add(method, "sys/seal", "", None, All);
        }
        for path in ["", "/{mount}", "/{mount}/kolla/other", "/nope"] {
            for method in ["POST", "LIST"] {
                add(method, &format!("sys/internal/ui/mounts{path}"), "", None, All);
            }
        }
        add("PATCH", "auth/approle/login", PATCH, Some(RIGHT), All);
        add("GET", "{mount}/metadata/kolla?list=canary", "", None, All);
    }
    all
}

fn requests() -> Vec<Asked> {
    let mut all = of_others();
    let mut add = |method, path: &str, headers: &[(&'static str, &'static str)], body, compared| {
        all.push(Asked { method, path: path.replace("{mount}", MOUNT), headers: headers.to_vec(), body, compared });
    };
    use Compared::{All, Mount, Shortened};
    let good = [("X-Vault-Token", "{token}")];
    for path in [
        "data/kolla/database_password",
        "data/kolla/database_password?version=1",
        "data/kolla/database_password?version=0",
        "data/kolla/database_password?version=-1",
        "data/kolla/database_password?version=",
        "data/kolla/database_password?version=%31",
        "data/kolla/database_password?version=9",
        "data/kolla/database_password?version=canary",
        "data/kolla/database_password?version=99999999999999999999",
        "data/kolla/database_password?version=1&version=2",
        "data/kolla/database_password/",
        "data/kolla/other",
        "data/kolla/missing",
        "data/kolla",
        "data/",
        "data",
        "data/kolla%2Fdatabase_password",
        "data/kolla/%64atabase_password",
        "data/kolla/%2564atabase_password",
        "data/kolla//database_password",
        "data/Kolla/database_password",
        "metadata/kolla/database_password",
        "metadata/kolla/other",
        "metadata/kolla/missing",
        "metadata/kolla",
        "metadata/kolla/",
        "metadata/kolla?list=true",
        "metadata/kolla/?list=true",
        "metadata/kolla/?list=1",
        "metadata/kolla/?list=canary",
        "metadata/?list=true",
        "metadata/kolla/folder/?list=true",
        "metadata/elsewhere/?list=true",
        "config",
        "subkeys/kolla/database_password",
        "",
    ] {
        add("GET", &format!("/v1/{{mount}}/{path}"), &good, None, All);
    }
    for path in ["metadata/kolla", "metadata/kolla/", "metadata/kolla/database_password", "metadata", "data/kolla"] {
        add("LIST", &format!("/v1/{{mount}}/{path}"), &good, None, All);
    }
    let record = "/v1/{mount}/data/kolla/database_password";
    for (name, value) in [
        ("X-Vault-Token", "wrong"),
        ("X-Vault-Token", "{token}."),
        ("X-Vault-Token", ""),
        ("Authorization", "Bearer {token}"),
        ("Authorization", "Bearer wrong"),
        ("Authorization", "Basic {token}"),
        ("X-Other", "nothing"),
    ] {
        add("GET", record, &[(name, value)], None, All);
    }
    for value in ["", "/", "root", "team"] {
        for (method, path) in
            [("PUT", "sys/unseal"), ("GET", "sys/unseal"), ("GET", "sys/seal"), ("POST", "sys/health")]
        {
            add(method, &format!("/v1/{path}"), &[("X-Vault-Namespace", value)], None, All);
        }
        add("GET", "/v1/sys/health?list=canary", &[("X-Vault-Namespace", value)], None, All);
        add("GET", record, &[good[0], ("X-Vault-Namespace", value)], None, All);
        add("GET", "/v1/sys/health", &[("X-Vault-Namespace", value)], None, All);
        add("POST", LOGIN, &[("X-Vault-Namespace", value)], Some(r#"{"role_id":"x","secret_id":"y"}"#), All);
    }
    add("GET", record, &[good[0], ("X-Vault-Request", "true")], None, All);
    add("GET", record, &[("X-Vault-Token", "wrong"), ("Authorization", "Bearer {token}")], None, All);
    for (method, body) in
        [("POST", Some(r#"{"data":{"a":"b"}}"#)), ("PUT", Some(r#"{"data":{"a":"b"}}"#)), ("DELETE", None)]
    {
        add(method, record, &good, body, All);
        add(method, record, &[], body, All);
        add(method, "/v1/{mount}/metadata/kolla/database_password", &good, body, All);
    }
    for path in ["sys/mounts", "sys/nope", "nope/data/x", "auth/approle/role/keystone", "auth/nope/login", "identity/x"]
    {
        add("GET", &format!("/v1/{path}"), &good, None, All);
        add("GET", &format!("/v1/{path}"), &[], None, All);
    }
    for path in ["/v2/nope", "/v1", "/v1/"] {
        add("GET", path, &[], None, All);
    }
    add("GET", "/v1/sys/health", &[], None, All);
    add("POST", "/v1/sys/health", &[], None, All);
    // On a code below 200, which is no final answer, theirs breaks the connection or answers twice.
    for code in ["299", "", "200", "599", "600", "999", "canary"] {
        add("GET", &format!("/v1/sys/health?activecode={code}&sealedcode={code}&standbycode=298"), &[], None, All);
    }
    add("GET", "/v1/sys/seal-status", &[], None, All);
    add("POST", "/v1/sys/seal-status", &[], None, All);
    add("GET", "/v1/sys/init", &[], None, All);
    add("GET", "/v1/sys/leader", &[], None, All);
    add("PUT", "/v1/sys/seal", &good, None, All);
    for path in ["/v1//{mount}/data/x", "/v1/{mount}/./data/x", "/v1//sys/health"] {
        for query in ["?list=canary", "?list=1", "?list=true;x", "?l%69st=true", "?list=%zz"] {
            add("GET", &format!("{path}{query}"), &[], None, All);
        }
    }
    for headers in [&good[..], &[], &[("X-Vault-Token", "wrong")]] {
        let all = if headers == good { Mount } else { All };
        add("GET", "/v1/sys/internal/ui/mounts", headers, None, all);
        add("GET", "/v1/sys/internal/ui/mounts/{mount}", headers, None, All);
        add("GET", "/v1/sys/internal/ui/mounts/{mount}/kolla/other", headers, None, All);
        let named = if headers == good { Shortened } else { All };
        add("GET", "/v1/sys/internal/ui/mounts/nope/x", headers, None, named);
        add("GET", "/v1/sys/internal/ui/mounts/nope", headers, None, named);
        add("GET", "/v1/sys/internal/ui/mounts/{mount}s/x", headers, None, named);
        add("GET", "/v1/auth/token/lookup-self", headers, None, All);
    }
    for body in [
        r#"{}"#,
        r#"null"#,
        r#"{"role_id":""}"#,
        r#"{"role_id":null}"#,
        r#"{"role_id":["a"]}"#,
        r#"{"role_id":{"a":"b"}}"#,
        r#"{"role_id":5,"secret_id":{"a":"canary"}}"#,
        r#"{"role_id":5,"secret_id":["canary"]}"#,
        r#"{"role_id":true,"secret_id":"x"}"#,
        r#"{"role_id":"{role_id}"}"#,
        r#"{"role_id":"{role_id}","secret_id":""}"#,
        r#"{"role_id":"{role_id}","secret_id":"wrong"}"#,
        r#"{"role_id":"wrong","secret_id":"{secret_id}"}"#,
        r#"{"role_id":" {role_id}\n","secret_id":"\t{secret_id} "}"#,
        "{\"role_id\":\"\u{a0}{role_id}\u{85}\",\"secret_id\":\"{secret_id}\u{2028}\"}",
        r#"{"role_id":" ","secret_id":"{secret_id}"}"#,
        RIGHT,
    ] {
        add("POST", LOGIN, &[], Some(body), All);
        add("PUT", LOGIN, &[], Some(body), All);
    }
    for body in ["[]", "[1", "[\"canary\"]", "5", "-1.5e3", "\"canary\"", "true", "{", "tru", r#"{"role_id":"canary"#] {
        add("POST", LOGIN, &[], Some(body), All);
    }
    // Blanks of JSON's, and others.
    for body in [" \r\n", "\t{\"role_id\":\"{role_id}\",\"secret_id\":\"{secret_id}\"}\r\n ", "null\n", "\n[1"] {
        add("POST", LOGIN, &[], Some(body), All);
    }
    for body in [
        "{bad canary",
        "[1}",
        "canary",
        r#"{"role_id":"a"} canary"#,
        r#"{"role_id":canary}"#,
        "\x0c",
        "\x0c{}",
        "{}\x0b",
    ] {
        add("POST", LOGIN, &[], Some(body), Shortened);
    }
    for body in [
        "role_id={role_id}&secret_id={secret_id}",
        "secret_id=%7bsecret_id%7D&role_id={role_id}",
        "role_id={role_id}&secret_id=wrong",
        "role_id={role_id}&secret_id={secret_id}&secret_id={secret_id}",
        "role_id={role_id}&secret_id={secret_id}\n",
        " role_id={role_id}&secret_id={secret_id}",
        "&&role%5fid={role_id}&secret_id={secret_id}&",
        "role_id={role_id}&secret_id",
        "role_id={role_id}",
        "role_id=a+b%20c&secret_id=%zz",
        "role_id=%4&secret_id=x",
        "role_id=%",
        "role_id=a;secret_id=b",
        "canary",
        "",
        RIGHT,
        r#" {"role_id":"{role_id}"}"#,
        "[]",
    ] {
        for kind in [FORM, "Application/X-WWW-Form-URLEncoded; charset=utf-8", "text/plain"] {
            add(if kind == FORM { "PUT" } else { "POST" }, LOGIN, &[("Content-Type", kind)], Some(body), Shortened);
            // Theirs locks a role out after five failures in a row.
            add("POST", LOGIN, &[], Some(RIGHT), All);
        }
    }
    add("POST", LOGIN, &[], None, All);
    add("POST", "/v1/auth/token/renew-self", &good, None, All);
    add("POST", "/v1/auth/token/revoke-self", &good, None, All);
    add("GET", "/v1/auth/token/lookup-self", &good, None, All);
    add("GET", record, &good, None, All);
    all
}

/// Names and kinds of all fields. Below `versions` the names are numbers.
fn shape(value: &Value, at: &str, out: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    out.insert(format!("{at}: {kind}"));
    if let Value::Object(fields) = value {
        for (name, value) in fields {
            shape(value, &format!("{at}.{name}"), out);
        }
    }
}

fn errors(answer: &Value) -> Vec<&str> {
    answer["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The names of a list, but those that the role may not read, a daemon's own among them: the reader does not show them.
fn names(answer: &Value) -> Vec<&str> {
    let names = answer["data"]["keys"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str).filter(|name| *name != "other" && !name.starts_with("donjon-")).collect()
}

#[tokio::test]
async fn every_answer_is_openbaos() {
    let server = OpenBao::start().await;
    let served = Served::start().await;
    let credential = (served.credential.role_id.clone(), served.secret_id().to_owned());
    let (theirs, ours) = (openbao(&server, &records()).await, reader(&served.url, credential).await);
    let reached = compare(&theirs, &ours, &requests()).await;
    assert!(
        reached.is_superset(&[200, 204, 307, 400, 403, 404, 405, 415, 500].into()),
        "all kinds of answers: {reached:?}"
    );
    served.end().await;
}

#[tokio::test]
async fn every_answer_of_a_sealed_one_is_openbaos() {
    let server = OpenBao::start().await;
    let served = Served::start().await;
    let credential = (served.credential.role_id.clone(), served.secret_id().to_owned());
    let (theirs, ours) = (openbao(&server, &records()).await, reader(&served.url, credential).await);
    server.seal().await;
    served.seal();
    let mut requests = requests();
    // Theirs says once more that it is sealed; there is nothing here that a request could seal.
    requests.retain(|asked| asked.path != "/v1/sys/seal" || !matches!(asked.method, "POST" | "PUT"));
    let reached = compare(&theirs, &ours, &requests).await;
    assert!(reached.contains(&503), "{reached:?}");
    served.end().await;
}

#[tokio::test]
async fn every_answer_on_the_daemons_store_is_openbaos_also_when_it_is_sealed() {
    let server = OpenBao::start().await;
    let mut theirs = openbao(&server, &sides::flat()).await;
    let deployed = Deployed::start(&server).await;
    let mut ours = reader(&deployed.urls[0], deployed.credential("keystone")).await;
    let kinds = [200, 204, 307, 400, 403, 404, 405, 415, 500].into();
    let reached = compare(&theirs, &ours, &requests()).await;
    assert!(reached.is_superset(&kinds), "all kinds of answers: {reached:?}");
    // The last requests gave both tokens up.
    theirs.login().await;
    ours.login().await;
    server.seal().await;
    deployed.closed(&ours.token).await;
    let mut requests = requests();
    requests.retain(|asked| asked.path != "/v1/sys/seal" || !matches!(asked.method, "POST" | "PUT"));
    let reached = compare(&theirs, &ours, &requests).await;
    assert!(reached.contains(&503), "{reached:?}");
    deployed.end();
}

/// Asks both for everything; gives the statuses that there were.
async fn compare(theirs: &Side, ours: &Side, requests: &[Asked]) -> BTreeSet<u16> {
    let mut differences = Vec::new();
    let mut reached = BTreeSet::new();
    for asked in requests {
        let ((their_status, their_answer), (our_status, our_answer)) = tokio::join!(theirs.ask(asked), ours.ask(asked));
        reached.insert(their_status);
        let mut differ = |what: &str| {
            let Asked { method, path, headers, body, .. } = asked;
            differences.push(format!("{method} {path} {headers:?} {body:?}: {what}\n  theirs {their_status} {their_answer}\n  ours   {our_status} {our_answer}"));
        };
        if their_status != our_status {
            differ("status");
        } else if asked.compared == Compared::Shortened && their_status >= 400 {
            let (their_errors, our_errors) = (errors(&their_answer), errors(&our_answer));
            let begins = |(theirs, ours): (&&str, &&str)| !ours.is_empty() && theirs.starts_with(ours);
            if their_errors.len() != our_errors.len() || !their_errors.iter().zip(&our_errors).all(begins) {
                differ("errors");
            }
        } else {
            let part = |answer: &Value| match asked.compared {
                Compared::All | Compared::Shortened => answer.clone(),
                Compared::Mount => answer["data"]["secret"][format!("{MOUNT}/")].clone(),
            };
            let (mut their_shape, mut our_shape) = (BTreeSet::new(), BTreeSet::new());
            shape(&part(&their_answer), "", &mut their_shape);
            shape(&part(&our_answer), "", &mut our_shape);
            if their_answer.get("errors") != our_answer.get("errors") {
                differ("errors");
            } else if their_shape != our_shape {
                let differing: Vec<_> = their_shape.symmetric_difference(&our_shape).collect();
                differ(&format!("fields {differing:?}"));
            } else if their_answer["data"]["data"] != our_answer["data"]["data"] {
                differ("the record");
            } else if names(&their_answer) != names(&our_answer) {
                differ("the names");
            }
        }
        let ours = our_answer.to_string();
        if our_status >= 400 && ours.contains("canary") {
            differ("input comes back");
        }
    }
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), requests.len(), differences.join("\n"));
    reached
}

const LOGIN: &str = "/v1/auth/approle/login";
const PATCH: &str = "application/merge-patch+json";
const RIGHT: &str = r#"{"role_id":"{role_id}","secret_id":"{secret_id}"}"#;
const FORM: &str = "application/x-www-form-urlencoded";
/// What may stand beside any path that is read.
const ASIDE: [&str; 7] =
    ["list=true", "list=1", "list=canary", "scan=T", "scan=canary", "list=true&scan=true", "list=true&list=canary"];
const RECORD: &str = "{mount}/data/kolla/database_password";
/// What nobody may write who has no more than a role of a reader.
const WRITES: [(&str, &str); 11] = [
    (RECORD, r#"{"data":{"a":"b"}}"#),
    ("{mount}/metadata/kolla/database_password", r#"{"max_versions":1}"#),
    ("{mount}/delete/kolla/database_password", r#"{"versions":[1]}"#),
    ("{mount}/undelete/kolla/database_password", r#"{"versions":[1]}"#),
    ("{mount}/destroy/kolla/database_password", r#"{"versions":[1]}"#),
    ("auth/token/create", r#"{"policies":["root"]}"#),
    ("sys/mounts/x", r#"{"type":"kv"}"#),
    ("sys/policies/acl/x", r#"{"policy":""}"#),
    ("auth/approle/role/x", "{}"),
    ("auth/approle/role/keystone/secret-id", "{}"),
    ("sys/seal", "{}"),
];
const READS: [&str; 13] = [
    RECORD,
    "{mount}/data/kolla/missing",
    "{mount}/metadata/kolla/database_password",
    "{mount}/metadata/kolla/?list=true",
    "{mount}/config",
    "sys/health",
    "sys/seal-status",
    "sys/init",
    "sys/leader",
    "sys/internal/ui/mounts",
    "sys/internal/ui/mounts/{mount}",
    "sys/nope",
    "auth/approle/login",
];
