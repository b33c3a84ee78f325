//! A home or a folder that was not meant: it is said at once, and nothing is made there.

use donjon_tests::donjon::Donjon;

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
