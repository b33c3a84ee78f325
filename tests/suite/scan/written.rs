//! What PyYAML, Python's json and shlex, and bash write of a value is found, however it is escaped, quoted and folded.

use super::write;
use donjon::scan::{Needles, Standing, Wanted, search};
use donjon_drivers::material::Material;
use donjon_tests::tools;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    path::Path,
    process::Command,
};

/// Chance that is the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        // As Knuth has it.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn of(&mut self, letters: &str) -> char {
        let count = letters.chars().count();
        letters.chars().nth(self.below(count)).unwrap()
    }

    fn text(&mut self, alphabets: &[&str], length: usize) -> String {
        (0..length)
            .map(|_| {
                let alphabet = alphabets[self.below(alphabets.len())];
                self.of(alphabet)
            })
            .collect()
    }
}

const WORD: &str = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const MARKS: &str = "$$$'\"\\`!#~&*(){}[]<>|;?^%@=+,./:-_";
const LETTERS: &str = "äöüßéñçøłžЖя中文字日本가€µ";
const RARE: &str = "🔑🦀👍🏽\u{a0}\u{ad}\u{200b}\u{2003}\u{301}\u{e000}\u{fffd}";
/// Tab and line end apart, which come with white space.
const CONTROL: &str = "\u{1}\u{7}\u{8}\u{b}\u{c}\u{1b}\u{1f}\u{7f}\u{80}\u{85}\u{2028}\u{2029}\u{feff}";

fn values() -> Vec<String> {
    let mut chance = Chance(7);
    let kinds: [&[&str]; 8] = [
        &[WORD],
        &[WORD, WORD, " "],
        &[WORD, MARKS],
        &[WORD, WORD, MARKS, MARKS, " "],
        &[WORD, LETTERS],
        &[WORD, WORD, LETTERS, MARKS, " "],
        &[WORD, WORD, WORD, LETTERS, RARE, CONTROL],
        &[WORD, WORD, WORD, LETTERS, MARKS, RARE, CONTROL, " \t\n"],
    ];
    let mut values = vec!["pässwörd-1234".to_owned(), "correct horse".to_owned(), "#hash and ~home=~".to_owned()];
    for round in 0..OF_EACH {
        for kind in kinds {
            let length = [8, 9, 10, 12, 16, 24, 40, 70, 100, 300][round % 10];
            let inner = chance.text(kind, length - 4);
            // Its ends are no white space, which nobody could tell from what is around it.
            let (first, last) = (chance.text(&kind[..1], 2), chance.text(&kind[..1], 2));
            values.push(format!("{first}{inner}{last}"));
        }
    }
    values
}

/// Writes each value with each writer into a file of its own.
const WRITERS: &str = r##"
import json, os, shlex, subprocess, sys, yaml
top = sys.argv[1]
values = json.load(open(os.path.join(top, "values.json"), encoding="utf-8"))
out = os.path.join(top, "written")
os.mkdir(out)
def put(number, name, text):
    with open(os.path.join(out, f"{number}.{name}"), "w", encoding="utf-8", newline="") as file:
        file.write(text)
dumpers = {"python": yaml.SafeDumper}
if hasattr(yaml, "CSafeDumper"):
    dumpers["libyaml"] = yaml.CSafeDumper
for number, value in enumerate(values):
    # Behind words, so that lines are folded at other places.
    shifted = "word " * 9 + "w" * (number * 7 % 43) + " " + value + " word" * 9
    for which, dumper in dumpers.items():
        for style in (None, '"', "'", "|", ">"):
            for wide in (False, True):
                name = f"yaml-{which}-{style and ord(style)}-{wide}"
                dump = lambda data: yaml.dump(data, Dumper=dumper, default_style=style, allow_unicode=wide)
                put(number, name, dump({"password": value}))
                put(number, name + "-deep", dump({"a": {"b": [{"c": {"d": {"e": value}}}]}}))
                put(number, name + "-shifted", dump({"password": shifted}))
    put(number, "json-ascii", json.dumps({"password": value}))
    put(number, "json-unicode", json.dumps({"password": value}, ensure_ascii=False, indent=4))
    put(number, "shlex", "export P=" + shlex.quote(value) + "\n")
script = 'cd "$1"; locale=$2; shift 2; number=0; for v; do printf %q "$v" > $number.bash-$locale; printf "%q\n" "p=$v" > $number.bash-$locale-behind; number=$((number + 1)); done'
for locale in ("C", "C.UTF-8"):
    subprocess.run(["bash", "-c", script, "bash", out, locale, *values], check=True, env={**os.environ, "LC_ALL": locale})
"##;

#[test]
fn what_yaml_json_and_shells_write_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let values = values();
    write(&folder.path().join("values.json"), serde_json::to_vec(&values).unwrap());
    let python = tools::folder().join("venv/bin/python");
    let ran = Command::new(python).args(["-c", WRITERS]).arg(folder.path()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let name = |path: &str| -> usize {
        let file = Path::new(path).file_name().unwrap().to_str().unwrap();
        file.split('.').next().unwrap().parse().unwrap()
    };
    let wanted = |(number, value): (usize, &String)| Wanted {
        name: format!("value_{number}").parse().unwrap(),
        standing: Standing::Current,
        material: Material::from(value.clone()),
    };
    let written = folder.path().join("written");
    let files: BTreeSet<String> =
        std::fs::read_dir(&written).unwrap().map(|entry| entry.unwrap().path().display().to_string()).collect();
    assert!(files.len() >= values.len() * 37, "{} files of {} values", files.len(), values.len());
    let mut found: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    // Some at a time: what one report tells is bounded.
    for (from, some) in values.chunks(8).enumerate().map(|(chunk, some)| (chunk * 8, some)) {
        let all = some.iter().enumerate().map(|(at, value)| wanted((from + at, value))).collect();
        let needles = Needles::new(all, Vec::new()).unwrap();
        assert_eq!(needles.not_looked_for, []);
        let roots: Vec<_> = files
            .iter()
            .filter(|file| (from..from + some.len()).contains(&name(file)))
            .map(std::path::PathBuf::from)
            .collect();
        let report = search(&needles, &roots, &[], &mut |_| ControlFlow::Continue(()));
        assert_eq!((report.files as usize, report.unsearched_count), (roots.len(), 0));
        assert_eq!(report.found as usize, report.findings.len(), "all are told");
        for finding in report.findings {
            let number = finding.secret.as_str().strip_prefix("value_").unwrap().parse().unwrap();
            found.entry(finding.place.to_string()).or_default().insert(number);
        }
    }
    let missed: Vec<String> = files
        .iter()
        .filter(|file| found.get(*file).is_none_or(|found| !found.contains(&name(file))))
        .map(|file| format!("{file}: {:?}: {:?}", values[name(file)], std::fs::read_to_string(file)))
        .collect();
    assert!(
        missed.is_empty(),
        "{} of {} missed:\n{}",
        missed.len(),
        files.len(),
        missed[..missed.len().min(12)].join("\n")
    );
    let wrong = found.iter().filter(|(file, found)| found.len() != 1 || !found.contains(&name(file))).count();
    assert_eq!(wrong, 0, "and no other value");
}

/// So many values of each kind.
const OF_EACH: usize = 20;
