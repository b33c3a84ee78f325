//! No value stands in a statement, a log or a binlog; and over TCP with TLS nobody but the right server is asked.

use super::scene::{ADMIN, ADMIN_VALUE, account, declare, driver, material, start, survey};
use donjon_drivers::target::{
    Admin, Login, Target, TargetError,
    mariadb::{Limits, MariaDb as Driver, Member},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::Path;

#[tokio::test]
async fn values_stand_in_no_file_of_the_server() {
    let server = start(&[]).await;
    // The control: said in plaintext, a value is found in the general log and in the binlog.
    server.sql("CREATE USER canary@localhost IDENTIFIED BY 'PlaintextCanary4711'").await;
    server.sql("FLUSH LOGS").await;
    let found: Vec<String> = server
        .holds(b"PlaintextCanary4711")
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert!(found.iter().any(|name| name == "general.log"), "{found:?}");
    assert!(found.iter().any(|name| name.starts_with("binlog")), "{found:?}");

    let texts = ["OldValueCanary0815", "NewValueCanary2342"];
    for host in ["localhost", "%"] {
        server.account("app", host, texts[0]).await;
    }
    let driver = driver(&server);
    let (old, new) = (material(texts[0]), material(texts[1]));
    let found = survey(&driver, "app", &[&old]).await;
    for values in [&[&new, &old][..], &[&new], &[&new, &old], &[&old]] {
        for account in &found.accounts {
            declare(&driver, account, values).await.unwrap();
            for value in [&old, &new] {
                driver.login(&driver.nodes()[0], account, &found.entries, value).await.unwrap();
            }
        }
    }
    server.sql("FLUSH LOGS").await;
    assert!(!server.holds(b"ALTER USER `app`@`localhost`").is_empty(), "the rotation's statements are in the logs");
    for text in texts {
        // Halves too: an allocator may have overwritten a part.
        for part in [text, &text[..9], &text[9..]] {
            assert!(server.holds(part.as_bytes()).is_empty(), "{part}: {:?}", server.holds(part.as_bytes()));
        }
    }
}

#[tokio::test]
async fn with_tls_only_the_right_server_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let own = certificates(folder.path(), "own");
    let foreign = certificates(folder.path(), "foreign");
    let argument = |name: &str, file: &str| format!("--{name}={}", own.join(file).display());
    let arguments = [argument("ssl-cert", "certificate.pem"), argument("ssl-key", "key.pem")];
    let server = start(&[&arguments[0], &arguments[1]]).await;
    server.account("app", "%", "value-1").await;
    server.sql("ALTER USER app@'%' REQUIRE SSL").await;
    server.account(ADMIN, "%", ADMIN_VALUE).await;
    let (app, value, keeper) = (account("app", "%"), material("value-1"), material(ADMIN_VALUE));
    let admin = Admin { user: ADMIN, values: &[&keeper], fence: None, passes: &[] };
    let with = |ca: Option<&Path>| {
        let member = Member { tls_ca: ca.map(|ca| ca.join("authority.pem")), socket: None, ..server.member("db1") };
        Driver::new(vec![member], Limits::default())
    };
    let login =
        async |driver: &Driver| driver.login(&driver.nodes()[0], &app, std::slice::from_ref(&app), &value).await;
    let right = with(Some(&own));
    assert_eq!(login(&right).await.unwrap(), Login::Accepted);
    assert!(right.survey(&admin, "app", &[&value]).await.unwrap().hazards.is_empty());
    let wrong = with(Some(&foreign));
    assert!(matches!(login(&wrong).await, Err(TargetError::Unreachable { .. })));
    assert!(matches!(wrong.survey(&admin, "app", &[]).await, Err(TargetError::Unreachable { .. })));
    assert_eq!(login(&with(None)).await.unwrap(), Login::Refused, "the account demands TLS");
}

/// A folder with an authority and a certificate of 127.0.0.1.
fn certificates(below: &Path, name: &str) -> std::path::PathBuf {
    let folder = below.join(name);
    std::fs::create_dir(&folder).unwrap();
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    for (file, content) in
        [("authority.pem", authority.pem()), ("certificate.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
    {
        donjon_drivers::fs::replace(&folder.join(file), content.as_bytes()).unwrap();
    }
    folder
}
