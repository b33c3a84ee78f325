//! The Vault policies on a real server: what the daemon and a reading role may do, and what they may not.

use donjon_drivers::{
    material::Material,
    store::{
        Store, StoreError,
        vault::{Call, Connection, Method, Reason, Vault},
    },
};
use donjon_policies::{
    access::{Access, BROKER, BROKER_POLICY, READER_PREFIX},
    catalogue::Catalogue,
};
use donjon_tests::openbao::OpenBao;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

const RECORD: &str = r#"{"data":{"password":"x"}}"#;

#[tokio::test]
async fn the_daemon_may_do_its_work_and_nothing_beside() {
    let (server, root) = prepared().await;
    write_policy(&root, BROKER, BROKER_POLICY).await;
    let daemon = login(&server, &root, BROKER).await;

    let readers = r#"{"policy":"path \"donjon/data/site/a\" { capabilities = [\"read\"] }"}"#;
    let role = r#"{"token_policies":"donjon-reader-r","token_period":"1h","token_no_default_policy":true}"#;
    for (path, body) in [
        ("donjon/data/site/a", RECORD),
        ("donjon/data/donjon-private/site/pending/a", RECORD),
        ("donjon/destroy/site/a", r#"{"versions":[1]}"#),
        ("sys/policies/acl/donjon-reader-r", readers),
        ("auth/approle/role/donjon-reader-r", role),
        ("auth/approle/role/donjon-reader-r/secret-id", "{}"),
        ("auth/approle/role/donjon-reader-r/secret-id", r#"{"metadata":"{\"host\":\"ctl1\"}"}"#),
        ("auth/approle/role/donjon-broker/secret-id", "{}"),
        ("auth/approle/role/donjon-successor/secret-id", "{}"),
        ("auth/token/renew-self", "{}"),
        ("auth/token/revoke-accessor", r#"{"accessor":"of nobody"}"#),
        ("sys/rotate", "{}"),
        ("sys/rotate/root/init", r#"{"secret_shares":1,"secret_threshold":1}"#),
        ("sys/rotate/root/update", r#"{"key":"x"}"#),
    ] {
        assert!(may_post(&daemon, path, body).await, "{path} {body}");
    }
    for path in [
        "donjon/data/site/a",
        "donjon/config",
        "sys/storage/raft/snapshot",
        "sys/storage/raft/configuration",
        "sys/audit",
        "auth/approle/role/donjon-reader-r/role-id",
        "auth/approle/role/donjon-successor/role-id",
    ] {
        assert!(may(&daemon, Call::new(Method::Get, path)).await, "{path}");
    }
    assert!(may(&daemon, Call::new(Method::Delete, "donjon/metadata/donjon-private/site/pending/a")).await);
    assert!(may(&daemon, Call::new(Method::Delete, "sys/rotate/root/init")).await);
    assert!(may(&daemon, Call::new(Method::List, "auth/token/accessors")).await);

    for path in
        ["other/data/a", "sys/mounts", "sys/policies/acl/default", "sys/policies/acl/root", "sys/auth", "sys/raw/core"]
    {
        assert!(!may(&daemon, Call::new(Method::Get, path)).await, "{path}");
    }
    for (path, body) in [
        ("other/data/a", RECORD),
        ("sys/mounts/mine", r#"{"type":"kv"}"#),
        ("sys/policies/acl/donjon-broker", readers),
        ("sys/policies/acl/mine", readers),
        ("auth/token/create", "{}"),
        ("auth/token/create-orphan", "{}"),
        ("sys/storage/raft/snapshot-force", "{}"),
        ("auth/approle/role/donjon-broker", role),
        ("auth/approle/role/donjon-successor", role),
        ("auth/approle/role/mine", role),
        ("auth/token/lookup-accessor", r#"{"accessor":"of nobody"}"#),
    ] {
        assert!(!may_post(&daemon, path, body).await, "{path}");
    }
    // A reader's role takes a reader's policy: not another one, not two, not by an older name of the parameter.
    for policies in [
        json!({"token_policies": "root"}),
        json!({"token_policies": "donjon-broker"}),
        json!({"token_policies": "donjon-reader-r,donjon-broker"}),
        json!({"token_policies": "donjon-broker,donjon-reader-r"}),
        json!({"token_policies": ["donjon-reader-r", "donjon-broker"]}),
        json!({"token_policies": ["donjon-broker"]}),
        json!({"policies": "donjon-broker"}),
        json!({"token_policies": "donjon-reader-r", "policies": "donjon-broker"}),
    ] {
        for path in ["auth/approle/role/donjon-reader-r", "auth/approle/role/donjon-reader-r/policies"] {
            assert!(!may_post(&daemon, path, &policies.to_string()).await, "{path} {policies}");
        }
    }
    assert!(may_post(&daemon, "sys/seal", "{}").await, "the last act of `down`");
}

#[tokio::test]
async fn a_role_reads_what_it_was_given_and_nothing_beside() {
    let (server, root) = prepared().await;
    for path in [
        "site/database_password",
        "site/database_password2",
        "site/rabbitmq_password",
        "other-site/database_password",
        "donjon-public/site/epoch",
        "donjon-private/site/pending/database_password",
    ] {
        assert!(may_post(&root, &format!("donjon/data/{path}"), RECORD).await, "{path}");
    }
    let catalogue = Catalogue::named("kolla-ansible").expect("it is built in");
    let role = "db".parse().expect("a name");
    let given = [("db".parse().expect("a name"), ["database_password".parse().expect("a name")].into())];
    let access = Access::new(given, &catalogue);
    let policy = access.vault_policy(&"site".parse().expect("a name"), &role).expect("a deployment");
    let name = format!("{READER_PREFIX}{role}");
    write_policy(&root, &name, &policy).await;
    let reader = login(&server, &root, &name).await;

    for path in ["donjon/data/site/database_password", "donjon/data/donjon-public/site/epoch", "auth/token/lookup-self"]
    {
        assert!(may(&reader, Call::new(Method::Get, path)).await, "{path}");
    }
    for path in [
        "donjon/data/site/database_password2",
        "donjon/data/site/rabbitmq_password",
        "donjon/data/site/Database_password",
        "donjon/data/other-site/database_password",
        "donjon/data/donjon-private/site/pending/database_password",
        "donjon/metadata/site/database_password",
        "donjon/data/site",
        "sys/mounts",
    ] {
        assert!(!may(&reader, Call::new(Method::Get, path)).await, "{path}");
    }
    assert!(!may_post(&reader, "donjon/data/site/database_password", RECORD).await, "a reader writes nothing");
    assert!(!may_post(&reader, "donjon/destroy/site/database_password", r#"{"versions":[1]}"#).await);
    let store = Vault::new(reader, "donjon".parse().expect("a path"));
    let listed = store.list(&"site".parse().expect("a path")).await;
    assert!(matches!(listed, Err(StoreError::Denied { .. })), "a reader lists nothing: {listed:?}");
}

/// A server with the mount, another one beside it, and AppRole; and a connection with the root token.
async fn prepared() -> (OpenBao, Arc<Connection>) {
    let server = OpenBao::start().await;
    let root = server.connection();
    for (path, body) in [
        ("sys/mounts/donjon", r#"{"type":"kv","options":{"version":"2"}}"#),
        ("sys/mounts/other", r#"{"type":"kv","options":{"version":"2"}}"#),
        ("sys/auth/approle", r#"{"type":"approle"}"#),
    ] {
        root.call(Call::post(path, Material::from(body.to_owned()))).await.expect("root may");
    }
    // A mount of KV v2 answers a moment after it was made.
    for mount in ["donjon", "other"] {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while root.call(Call::new(Method::Get, format!("{mount}/config"))).await.is_err() {
            assert!(std::time::Instant::now() < end, "the mount `{mount}` never came up");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    (server, root)
}

async fn write_policy(root: &Connection, name: &str, policy: &str) {
    let body = json!({ "policy": policy }).to_string();
    let path = format!("sys/policies/acl/{name}");
    root.call(Call::post(path, Material::from(body))).await.expect("the server reads the policy");
}

#[derive(Deserialize)]
struct Login {
    auth: Token,
}

#[derive(Deserialize)]
struct Token {
    client_token: Material,
}

/// A connection with a token of this policy and no other.
async fn login(server: &OpenBao, root: &Connection, policy: &str) -> Arc<Connection> {
    let body = json!({"policies": [policy], "no_parent": true, "no_default_policy": true, "period": "1h"}).to_string();
    let answer = root.call(Call::post("auth/token/create", Material::from(body))).await.expect("root may");
    let login: Login = answer.parse().expect("a token");
    let connection = server.connection();
    connection.use_token(login.auth.client_token);
    connection
}

async fn may_post(connection: &Connection, path: &str, body: &str) -> bool {
    may(connection, Call::post(path, Material::from(body.to_owned()))).await
}

/// Whether the policy lets a request through, whatever the server then makes of it.
async fn may(connection: &Connection, call: Call) -> bool {
    match connection.call(call).await {
        Ok(_) => true,
        Err(error) => match error.reason() {
            Some(reason) => reason != Reason::Denied,
            None => panic!("no answer: {error}"),
        },
    }
}
