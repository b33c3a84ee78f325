//! Keys on a real sshd: appended, switched to, pruned; other lines, owner and mode stay, and no key is on disk.

use super::scene::{account, material};
use donjon_drivers::target::{
    Admin, Login, Node, Target, TargetError, conformance,
    sshkeys::{Member, Settings, SshKeys},
};
use donjon_tests::{
    search,
    sshd::{Sshd, key_pair},
};
use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    time::Duration,
};

/// A user of the system whom nothing else uses, and who may not have a shell.
const USER: &str = "games";

fn settings(server: &Sshd) -> Settings {
    Settings {
        mark: "donjon:hosts".into(),
        file: server.pattern(),
        known_hosts: Some(server.known_hosts()),
        config: None,
        before: vec![],
        answer: Duration::from_secs(30),
    }
}

fn driver(server: &Sshd) -> SshKeys {
    let node = Member { name: "h1".into(), address: "127.0.0.1".into(), port: server.port };
    SshKeys::new(vec![node], settings(server))
}

#[tokio::test]
async fn keys_conform_and_every_other_line_stays() {
    let server = Sshd::start();
    let [(keeper, keeper_public), (current, current_public), (next, next_public), (_, foreign)] =
        [(); 4].map(|()| key_pair());
    server.user("root", &format!("{keeper_public}\n"));
    let others = format!("# people\n\n{foreign} someone@home\nno key at all \u{1F511}\n");
    let file = server.user(USER, &format!("{others}from=\"127.0.0.0/8\" {current_public} made by the deployer"));
    let before = fs::metadata(&file).unwrap();
    let driver = driver(&server);
    let (keeper, current, next) = (material(&keeper), material(&current), material(&next));
    let scene = conformance::Scene {
        target: &driver,
        admin: Admin { user: "root", values: &[&keeper], fence: None, passes: &[] },
        user: USER,
        current: &current,
        next: &next,
    };
    if let Err(violation) = conformance::check(&scene, async |_: &Node| ()).await {
        panic!("{violation:?}");
    }
    let line = |key: &str| format!("from=\"127.0.0.0/8\" {key} donjon:hosts\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{others}{}", line(&current_public)));
    driver.declare(&scene.admin, &account(USER, ""), &[&next, &current]).await.unwrap();
    let both = format!("{others}{}{}", line(&current_public), line(&next_public));
    assert_eq!(fs::read_to_string(&file).unwrap(), both);
    let after = fs::metadata(&file).unwrap();
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");

    // The administrator changes its own keys too.
    let own = Admin { user: "root", values: &[&next, &keeper], fence: None, passes: &[] };
    driver.declare(&own, &account("root", ""), &[&next, &keeper]).await.unwrap();
    driver.declare(&own, &account("root", ""), &[&next]).await.unwrap();
    let stale = Admin { user: "root", values: &[&keeper], fence: None, passes: &[] };
    let refused = driver.survey(&stale, USER, &[&current]).await;
    assert!(matches!(refused, Err(TargetError::AdminRefused { .. })), "{refused:?}");

    // A key is found where it is on disk, which is nowhere below the server's folder or the temporary one of agents.
    let part = |key: &donjon_drivers::material::Material| key.expose()[200..260].to_vec(); // EXPOSE: a part to look for
    donjon_drivers::fs::replace(&server.folder().join("control"), next.expose()).unwrap(); // EXPOSE: the control
    assert_eq!(search::holding(server.folder(), &part(&next)), [server.folder().join("control")]);
    for key in [&keeper, &current] {
        assert!(search::holding(server.folder(), &part(key)).is_empty());
    }
}

#[tokio::test]
async fn what_is_unsafe_is_named_or_refused() {
    let server = Sshd::start();
    let [(keeper, keeper_public), (current, current_public), (next, next_public)] = [(); 3].map(|()| key_pair());
    server.user("root", &format!("{keeper_public}\n"));
    let file = server.user(USER, &format!("{current_public}\n"));
    let driver = driver(&server);
    let (keeper, current, next) = (material(&keeper), material(&current), material(&next));
    let admin = Admin { user: "root", values: &[&keeper], fence: None, passes: &[] };
    let hazards = async |user: &str| -> Vec<String> {
        let survey = driver.survey(&admin, user, &[&current]).await.unwrap();
        survey.hazards.into_iter().map(|hazard| hazard.what).collect()
    };
    assert_eq!(hazards(USER).await, [""; 0]);
    assert!(hazards("nobody-of-that-name").await[0].contains("no user"));
    assert!(hazards("daemon").await[0].contains("no file of keys"));
    fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .map(|mut file| {
            std::io::Write::write_all(&mut file, format!("{next_public} donjon:hosts\n").as_bytes()).unwrap();
        })
        .unwrap();
    assert!(hazards(USER).await[0].contains("someone else changed it"));

    let app = account(USER, "");
    let content = fs::read(&file).unwrap();
    for name in ["../root", "-x", "a:b", "$(id)", "`id`", "a b", "a'b"] {
        let refused = driver.declare(&admin, &account(name, ""), &[&next]).await;
        assert!(matches!(refused, Err(TargetError::Unable { .. })), "{name}: {refused:?}");
    }
    // A link would be followed to someone else's file.
    let elsewhere = server.folder().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    let refused = driver.declare(&admin, &app, &[&current]).await;
    assert!(matches!(&refused, Err(TargetError::Unable { what, .. }) if what.contains("a link")), "{refused:?}");
    assert_eq!(fs::read(&elsewhere).unwrap(), content);

    // Another host key, and nobody there: errors, not refusals.
    let other = Sshd::start();
    let settings = Settings { known_hosts: Some(other.known_hosts()), ..settings(&server) };
    let node = |port: u16| Member { name: "h1".into(), address: "127.0.0.1".into(), port };
    for port in [server.port, donjon_tests::port::free()] {
        let wrong = SshKeys::new(vec![node(port)], settings.clone());
        let tried = wrong.login(&wrong.nodes()[0], &app, std::slice::from_ref(&app), &current).await;
        assert!(matches!(tried, Err(TargetError::Unreachable { .. })), "{tried:?}");
    }
    let unprovable = driver.login(&driver.nodes()[0], &app, std::slice::from_ref(&app), &material("no key")).await;
    assert!(matches!(unprovable, Ok(Login::Unprovable(_))), "{unprovable:?}");
}
