//! What other callbacks are given: one that writes down everything it can reach, and the real ansible-runner's artifacts.

use super::site::{Played, Search, Setting, Site};
use donjon_tests::{donjon::Donjon, tools};
use std::{fs, path::PathBuf};

const VALUE: &str = "x7Kq2mWc9Tz4Rv8Lb3Yn6Hd";
/// Where the control must have found the value, each by one of the objects that Ansible hands out.
const PLACES: [&str; 19] = [
    "AggregateStats.custom[_run][sum]",
    "AggregateStats.custom[localhost][own]",
    "stats.custom[_run][sum]",
    "Host.vars[of_host]",
    "Host.groups[].hosts[].vars[of_host]",
    "IncludedFile._vars[given]",
    "IncludedFile repr",
    "IncludedFile._results[]._return_data[results][][given]",
    "Play.get_name",
    "Play._variable_manager._nonpersistent_fact_cache[localhost][fact]",
    "Task.get_name",
    "Task._parent.get_vars[given]",
    "Task._parent._play._variable_manager._nonpersistent_fact_cache[localhost][fact]",
    "Handler.name",
    "CallbackTaskResult._BaseTaskResult__host.vars[ansible_password]",
    "CallbackTaskResult._BaseTaskResult__task.args[argv][]",
    "CallbackTaskResult._BaseTaskResult__task.name",
    "CallbackTaskResult.task_fields[args][content]",
    "CallbackTaskResult.result[results][][item]",
];

fn site(donjon: &Donjon) -> Site {
    donjon.up();
    donjon.run_with_input(&["put", "x"], VALUE.as_bytes()).ok();
    Site::of("given")
}

fn worked(site: &Site, folder: &str) {
    let text = fs::read_to_string(site.path().join(folder).join("kept")).expect("the last task wrote it");
    assert_eq!(text, VALUE.repeat(2), "tasks work with the value itself");
}

#[test]
fn a_callback_that_writes_all_it_is_given_writes_no_value() {
    let donjon = Donjon::new();
    let search = Search::new([VALUE]);
    let played = |setting: Setting| {
        let site = site(&donjon);
        let given = site.path().join("given");
        let (to, plugins) = (given.display().to_string(), site.path().join("callback_plugins").display().to_string());
        let more =
            [("GIVEN_TO", to.as_str()), ("ANSIBLE_CALLBACK_PLUGINS", &plugins), ("ANSIBLE_CALLBACKS_ENABLED", "given")];
        let arguments = ["-i", "localhost,", "-c", "local", "site.yml"].map(str::to_owned);
        site.play(&donjon, setting, &more, &arguments).ok();
        worked(&site, "sinks");
        String::from_utf8_lossy(&fs::read(&given).expect("it was called")).into_owned()
    };
    let careless = played(Setting::Careless);
    let found = search.lines(&careless);
    let missing: Vec<_> = PLACES.iter().filter(|place| !found.iter().any(|line| line.starts_with(*place))).collect();
    assert!(missing.is_empty(), "{missing:#?}");

    let masked = played(Setting::Kept);
    assert_eq!(search.lines(&masked), [""; 0]);
    assert!(masked.lines().count() > careless.lines().count() / 2, "it was given as much");
    let bare: Vec<_> = PLACES.iter().filter(|place| !masked.lines().any(|line| line.starts_with(*place))).collect();
    assert!(bare.is_empty(), "the same is there, covered: {bare:#?}");
}

#[test]
fn ansible_runner_writes_no_value_into_its_artifacts() {
    let donjon = Donjon::new();
    let search = Search::new([VALUE]);
    let ran = |setting: Setting| {
        let site = site(&donjon);
        fs::create_dir(site.path().join("project")).unwrap();
        for name in ["site.yml", "included.yml"] {
            fs::rename(site.path().join(name), site.path().join("project").join(name)).unwrap();
        }
        fs::create_dir(site.path().join("project/sinks")).unwrap();
        let own = site.path().display().to_string();
        let runner = tools::program("ansible-runner").display().to_string();
        fs::create_dir(site.path().join("inventory")).unwrap();
        site.write("inventory/hosts", "localhost ansible_connection=local\n");
        let words = [&runner, "run", &own, "-p", "site.yml", "-vvv"];
        let Played { ok, said } = site.run(&donjon, setting, &[], &words.map(str::to_owned));
        assert!(ok, "{said}");
        worked(&site, "project/sinks");
        (said, site)
    };
    let (said, careless) = ran(Setting::Careless);
    assert!(search.finds(&said));
    let files = careless.files("artifacts");
    let events = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect::<Vec<_>>().join("\n");
    // Beside results: names and statistics.
    for part in [r#""play": "A play of "#, r#""task": "A task of "#, r#""artifact_data": {"sum": ""#] {
        assert!(events.contains(&format!("{part}{VALUE}")), "{part}");
    }

    let (said, site) = ran(Setting::Kept);
    assert_eq!(search.lines(&said), [""; 0]);
    let files = site.files("artifacts");
    assert!(files.iter().filter(|file| file.display().to_string().contains("job_events")).count() > 20, "{files:?}");
    assert_eq!(search.among(files), Vec::<PathBuf>::new());
}
