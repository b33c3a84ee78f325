//! Transcripts: what is typed and what is answered, as files that can be read. Only what is the same in every run stands there.
//!
//! `TRYCMD=overwrite` writes them anew where a text has changed on purpose.

use donjon_tests::donjon::{Donjon, binary};
use trycmd::TestCases;

/// What these transcripts say of a home.
fn compare(donjon: &Donjon, files: &[&str]) {
    let cases = TestCases::new();
    cases.register_bin("donjon", binary());
    // A shell of its own: nothing of the tester's environment is in what is answered.
    cases.env("DONJON_HOME", donjon.home().display().to_string()).env("NO_COLOR", "1").env("COLUMNS", "120");
    cases.insert_var("[HOME]", donjon.home().display().to_string()).unwrap();
    for file in files {
        let path = format!("{}/transcripts/{file}.trycmd", env!("CARGO_MANIFEST_DIR"));
        assert!(std::path::Path::new(&path).is_file(), "there is no transcript {path}");
        cases.case(path);
    }
    cases.run();
}

#[test]
fn without_a_daemon() {
    compare(&Donjon::new(), &["help", "usage", "nobody"]);
}

#[test]
fn names_and_refusals() {
    let donjon = Donjon::new();
    donjon.run(&["up", "--store", "file"]).ok();
    donjon.run_with_input(&["put", "database_password"], b"a-value-long-enough").ok();
    compare(&donjon, &["names", "refusals"]);
}
