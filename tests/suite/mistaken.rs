//! A home or a folder that was not meant: it is said at once, and nothing is made there.

use donjon_tests::donjon::Donjon;

#[test]
fn a_home_on_a_disk_that_is_not_mounted_is_not_made() {
    let mut donjon = Donjon::new();
    let home = donjon.home().join("disk/donjon");
    donjon.set("DONJON_HOME", &home.display().to_string());
    let refused = donjon.run(&["up", "--store", "file"]).failed(4);
    let above = home.parent().unwrap();
    assert!(refused.contains(&format!("{} is not there", above.display())), "{refused}");
    assert!(refused.contains("is the disk mounted?") && !above.exists(), "{refused}");
    donjon.run(&["up", "--foreground", "--store", "file"]).failed(4);
    assert!(!above.exists());
    std::fs::create_dir(above).unwrap();
    let said = donjon.run(&["up", "--store", "file"]).ok();
    let last = |said: &str| said.lines().last().unwrap_or_default().to_owned();
    assert_eq!(last(&said), format!("this is a new, empty store, in {}", home.display()), "{said}");
    donjon.run_with_input(&["put", "x"], b"a-value-long-enough").ok();
    donjon.run(&["down"]).ok();
    let said = donjon.run(&["up"]).ok();
    let holds = format!("the store in {} holds 1 secrets of the deployment `default`", home.display());
    assert_eq!(last(&said), holds, "{said}");
    donjon.run(&["down"]).ok();
}

#[test]
fn who_reads_from_a_folder_that_is_not_there_does_not_make_it() {
    let donjon = Donjon::new();
    let at = |name: &str| donjon.home().join(name).display().to_string();
    let (identity, typo) = (at("identity"), at("typo"));
    let key = age::x25519::Identity::generate().to_string();
    donjon_drivers::fs::replace(
        std::path::Path::new(&identity),
        age::secrecy::ExposeSecret::expose_secret(&key).as_bytes(),
    )
    .unwrap();
    for reading in ["drain", "serve"] {
        let refused = donjon.run(&[reading, "--node", &typo, "-i", &identity]).failed(4);
        assert!(refused.contains(&format!("{typo} holds no bundle yet")), "{refused}");
        assert!(!donjon.home().join("typo").exists(), "{reading}");
    }
    let refused = donjon.run(&["drain", "-i", &identity]).failed(4);
    assert!(refused.contains("holds no bundle yet") && !donjon.home().join("node").exists(), "{refused}");
}

#[test]
fn overrides_for_kolla_are_written_where_kolla_is_configured() {
    let donjon = Donjon::new();
    let typo = donjon.home().join("kola").display().to_string();
    let refused = donjon.run(&["wire", "kolla", "--runtime", "donjon", "--config", &typo]).failed(4);
    assert!(refused.contains(&format!("cannot write below {typo}")) && refused.contains("--config"), "{refused}");
    assert!(!donjon.home().join("kola").exists());
}

#[test]
fn a_deployment_file_that_is_not_there_says_nothing() {
    let donjon = Donjon::new();
    let file = donjon.home().join("donjon.yaml");
    let none = format!("there is no {}, so that defaults hold", file.display());
    let shown = donjon.run(&["config", "show"]).ok();
    assert!(shown.starts_with(&none), "{shown}");
    let refused = donjon.run(&["config", "get", "database", "connection"]).failed(4);
    assert!(refused.contains(&none) && refused.contains("`--config-file FILE`"), "{refused}");
    donjon.describe("deployment: site1\n");
    assert!(!donjon.run(&["config", "show"]).ok().contains("there is no"), "the control");
}
