//! Several who ask over one connection: nothing of one is ever the other's.

use super::{Arc, Credential, Limits, Lines, Listening, Material, Reader, Role, Roles, Source, Tokens, path};
use crate::reader::{Lookup, OfBundle};
use donjon_drivers::store::{Document, Version, bundle::Bundle};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

/// Sends one request over a connection that stays open, and reads its answer: status and body.
async fn ask(stream: &mut TcpStream, head: &str, body: &str) -> (String, String) {
    let request = format!("{head}\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let end = loop {
        answer.push(stream.read_u8().await.unwrap());
        if answer.ends_with(b"\r\n\r\n") {
            break answer.len();
        }
    };
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), String::from_utf8(body).unwrap())
}

async fn login(stream: &mut TcpStream, credential: &Credential) -> String {
    let secret_id = credential.secret_id.expose_text().unwrap(); // EXPOSE: a credential of one test
    let body = format!(r#"{{"role_id":"{}","secret_id":"{secret_id}"}}"#, credential.role_id);
    let (status, answer) = ask(stream, "POST /v1/auth/approle/login HTTP/1.1", &body).await;
    assert_eq!(status, "200", "{answer}");
    let token = answer.split_once("\"client_token\":\"").expect("a token").1;
    token.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn two_who_alternate_over_one_connection_get_their_own_alone() {
    let own = ["value-of-one", "value-of-two"];
    let record = |(name, value): (&str, &str)| {
        let document = Document::from_json(Material::from(format!(r#"{{"password":"{value}"}}"#))).unwrap();
        (path(&format!("d/{name}")), Version(1), document)
    };
    let bundle = Bundle::new(0, [record(("one", own[0])), record(("two", own[1]))]);
    let lookup: Arc<dyn Lookup> = Arc::new(OfBundle::new(bundle, i64::MAX, || 1000));
    let made =
        ["one", "two"].map(|name| Role::generate(name.parse().unwrap(), &[path(&format!("d/{name}"))].into()).unwrap());
    let roles = Roles::new(made.iter().map(|(role, _)| role.clone()));
    let source = Source { lookup, roles };
    let reader = Arc::new(Reader::new(path("kv"), source, Tokens::in_memory(), Arc::new(Lines::default()), || 1000));
    let listening = Listening::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let address = listening.url().split_once("://").unwrap().1.to_owned();
    let (end, ended) = oneshot::channel::<()>();
    let served = tokio::spawn(listening.serve(reader, Limits::default(), async move { drop(ended.await) }));

    let mut stream = TcpStream::connect(&address).await.unwrap();
    let tokens = [login(&mut stream, &made[0].1).await, login(&mut stream, &made[1].1).await];
    for round in 0..200 {
        let (me, other) = (round % 2, 1 - round % 2);
        let get = |name: &str| format!("GET /v1/kv/data/d/{name} HTTP/1.1\r\nX-Vault-Token: {}", tokens[me]);
        let name = ["one", "two"];
        let (status, answer) = ask(&mut stream, &get(name[me]), "").await;
        assert!(status == "200" && answer.contains(own[me]) && !answer.contains(own[other]), "{answer}");
        if round < 20 {
            let (status, answer) = ask(&mut stream, &get(name[other]), "").await;
            assert!(status == "403" && !answer.contains(own[other]), "{answer}");
            let (status, _) = ask(&mut stream, &format!("GET /v1/kv/data/d/{} HTTP/1.1", name[me]), "").await;
            assert_eq!(status, "403", "without a token it is nobody's, whoever asked before");
        }
    }
    drop(stream);
    drop(end);
    served.await.unwrap();
}
