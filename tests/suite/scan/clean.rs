//! A tree in which no value lies has no findings, however many values are looked for.

use super::write;
use donjon::{
    config,
    generation::{System, make},
    scan::{Needles, Standing, Wanted, search},
};
use donjon_drivers::material::Material;
use donjon_policies::recipe::Shape;
use donjon_tests::{aloud, tools};
use std::{ops::ControlFlow, path::PathBuf};

/// All secrets of the catalogue, several times; and phrases such as people make up.
fn wanted() -> Vec<Wanted> {
    let catalogue = config::catalogue("kolla-ansible").unwrap();
    let mut wanted = Vec::new();
    for round in 0..ROUNDS {
        for entry in catalogue.entries().filter(|entry| entry.class.is_secret()) {
            // Keys take long to make: one of each will do.
            if matches!(entry.recipe.shape(), Shape::Operator)
                || (round > 0 && matches!(entry.recipe.shape(), Shape::SshPair(_)))
            {
                continue;
            }
            let material = make(entry.recipe, &System, 0).unwrap().material().duplicate();
            wanted.push(Wanted { name: entry.name.clone(), standing: Standing::Previous, material });
        }
        let password = make("exactly 11".parse().unwrap(), &System, 0).unwrap();
        let letters = password.material().expose_text().unwrap().to_owned(); // EXPOSE: a test value
        for at in 1..10 {
            let phrase = format!("{} {}", &letters[..at], &letters[at..]);
            let name = format!("phrase_{round}_{at}").parse().unwrap();
            wanted.push(Wanted { name, standing: Standing::Current, material: Material::from(phrase) });
        }
    }
    wanted
}

#[test]
fn a_large_tree_without_values_has_no_findings() {
    let wanted = wanted();
    let again =
        |of: &Wanted| Wanted { name: of.name.clone(), standing: of.standing, material: of.material.duplicate() };
    let needles = Needles::new(wanted.iter().map(again).collect(), Vec::new()).unwrap();
    assert!(needles.looked_for.len() > 80, "{}", needles.looked_for.len());
    let roots = [PathBuf::from("/usr/share/doc"), PathBuf::from("/etc"), tools::folder().join("venv/lib")];
    // So much of this machine's own files, the same each time; or all there are.
    let mut all = true;
    let report = search(&needles, &roots, &[], &mut |progress| {
        all = progress.bytes < ENOUGH;
        if all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let read = format!("{} files, {} MB", report.files, report.bytes / 1_000_000);
    assert!(report.files > 1000 && (all || report.bytes >= ENOUGH), "enough was read: {read}");
    assert_eq!(report.findings, []);
    aloud::tell(&format!("{} values, and none of them in {read}", wanted.len()));

    // The control: they are looked for.
    let folder = tempfile::tempdir().unwrap();
    for (number, wanted) in wanted.iter().enumerate() {
        let value = wanted.material.expose(); // EXPOSE: a test value
        write(&folder.path().join(number.to_string()), [b"password: ", value, b"\n"].concat());
    }
    let report = search(&needles, &[folder.path().to_owned()], &[], &mut |_| ControlFlow::Continue(()));
    assert!(report.found as usize >= wanted.len(), "{} of {}", report.found, wanted.len());
}

const ROUNDS: usize = 10;
const ENOUGH: u64 = 200_000_000;
