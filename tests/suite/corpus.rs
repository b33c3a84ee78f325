//! The fuzzers' kept inputs, once more: what each parser must do with them holds in every build.

#[path = "../fuzz/drive.rs"]
mod drive;

use std::path::Path;

#[test]
fn every_kept_input_is_refused_or_read_as_it_is() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, drive) in [
        ("bundle", drive::bundle as fn(&[u8])),
        ("receipt", drive::receipt),
        ("ini", drive::ini),
        ("journal", drive::journal),
    ] {
        let inputs: Vec<_> = std::fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(inputs.len() >= 5, "{name} has a corpus");
        for input in inputs {
            drive(&std::fs::read(&input).unwrap());
        }
    }
}
