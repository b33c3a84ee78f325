//! The shape of the house: edges point one way, no drawers, every file says what it is for and stays readable.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The workspace's crates that a crate depends on, by its manifest.
fn depends_on(folder: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a crate has a manifest");
    let names = manifest.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| name.starts_with("donjon")).map(str::to_owned).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the checkout can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn edges_point_one_way() {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(depends_on("policies"), names(&[]));
    assert_eq!(depends_on("drivers"), names(&["donjon-policies"]));
    assert_eq!(depends_on("broker"), names(&["donjon-drivers", "donjon-policies"]));
    assert!(depends_on("tests").contains("donjon"), "the control: an edge is seen where there is one");
}

#[test]
fn every_file_says_what_it_is_for_and_none_is_a_drawer() {
    let mut files = Vec::new();
    for folder in ["policies", "drivers", "broker", "tests"] {
        sources(&root().join(folder), &mut files);
    }
    assert!(files.len() > 100, "the control: {} files were seen", files.len());
    for file in files {
        let text = fs::read_to_string(&file).expect("a source is text");
        let (name, lines) = (file.display(), text.lines().count());
        assert!(text.starts_with("//! "), "{name} does not open with what it is for");
        assert!(lines <= 600, "{name} has {lines} lines");
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let drawers = ["util", "utils", "common", "helpers", "misc", "types"];
        assert!(!drawers.contains(&&*stem), "{name} is a drawer");
    }
}
