//! What stands in a file of an operator's, and perhaps nowhere else, is not written over: not by `wire`, nor by `adopt` after a run
//! that was cut off.

use donjon_tests::{donjon::Donjon, tools};
use rustix::process::Signal;
use std::{
    fs,
    os::unix::{fs::MetadataExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::Command,
};

struct Place {
    donjon: Donjon,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let donjon = Donjon::new();
        donjon.run(&["up", "--store", "file"]).ok();
        Self { donjon, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        donjon_drivers::fs::replace(&self.path(name), text.as_bytes()).unwrap();
        self.path(name).display().to_string()
    }

    /// Makes an ansible-vault of a file, and gives the file with its password.
    fn seal(&self, file: &str) -> String {
        let password = self.write("password", "a vault's password\n");
        let vault = Command::new(tools::program("ansible-vault"))
            .args(["encrypt", "--vault-password-file", &password, file])
            .output()
            .unwrap();
        assert!(vault.status.success(), "{vault:?}");
        password
    }

    /// Refused with this, and the file is as it was.
    fn refused(&self, words: &[&str], file: &str, code: i32, why: &str) {
        let before = fs::read(file).unwrap();
        let said = self.donjon.run(words).failed(code);
        assert!(said.contains(why), "{said}");
        assert_eq!(fs::read(file).unwrap(), before);
    }
}

#[test]
fn wire_writes_over_its_own_references_alone() {
    let place = Place::new();
    let kolla = |file: &str, why: &str| place.refused(&["wire", "kolla", "-o", file], file, 5, why);
    let sealed = place.write("sealed.yml", "database_password: canary-1\n");
    place.seal(&sealed);
    kolla(&sealed, "it is an ansible-vault");
    let own = place.path("passwords.yml").display().to_string();
    place.donjon.run(&["wire", "kolla", "-o", &own]).ok();
    place.donjon.run(&["wire", "kolla", "-o", &own]).ok();
    let references = fs::read_to_string(&own).unwrap();
    for (more, why) in [
        ("my_list: [a]\n", "my_list"),
        (
            "mine: \"{{ lookup('donjon.broker.secret', 'mine') }}\"\n",
            "it holds references of Donjon's already, to 1 secrets that the catalogue does not know, and these would be gone: mine",
        ),
        ("mine: a-value-of-my-own\n", "it holds 1 values"),
    ] {
        kolla(&place.write("passwords.yml", &format!("{references}{more}")), why);
    }
    let reference = "\"{{ lookup('donjon.broker.secret', 'keystone_admin_password') }}\"";
    for (text, why) in [
        // What an operator has written beside a reference, in the place of one, or around it.
        (
            references.replace("keystone_admin_password: ", "# OPS: ours\nkeystone_admin_password: "),
            "comments that are not of Donjon's",
        ),
        (references.replace(reference, &format!("{reference} # OPS: ours")), "comments that are not of Donjon's"),
        (format!("{references}my_custom_password:\n"), "my_custom_password"),
        (references.replace(reference, &reference.replace("}}", "}}-suffix")), "keystone_admin_password"),
        (
            references.replace(reference, &reference.replace("keystone_admin", "nova_keystone")),
            "keystone_admin_password",
        ),
    ] {
        assert_ne!(text, references, "the control: {why}");
        kolla(&place.write("passwords.yml", &text), why);
    }
    // Nothing is in a deployer's own file but names, and words that its package has too.
    let own = place.write("passwords.yml", "---\n####\n# Database options\n####\ndatabase_password:\n");
    place.donjon.run(&["wire", "kolla", "-o", &own]).ok();
    assert_eq!(fs::read_to_string(&own).unwrap(), references);
    let evaluated =
        references.replace("lookup('donjon.broker.secret', 'keystone_admin_password')", "lookup('env', 'X')");
    assert_ne!(evaluated, references);
    kolla(&place.write("passwords.yml", &evaluated), "keystone_admin_password");
    kolla(&place.write("passwords.yml", "just words\n"), "no mapping");
}

#[test]
fn what_is_written_anew_stays_its_owners_and_where_it_is() {
    let place = Place::new();
    let (file, link) = (place.path("passwords.yml"), place.path("link.yml"));
    let (file, link) = (file.display().to_string(), link.display().to_string());
    place.donjon.run(&["wire", "kolla", "-o", &file]).ok();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    std::os::unix::fs::chown(&file, Some(1000), Some(1000)).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let inode = || fs::metadata(&file).unwrap().ino();
    for path in [&file, &link] {
        let before = inode();
        place.donjon.run(&["wire", "kolla", "-o", path]).ok();
        let found = fs::metadata(&file).unwrap();
        assert_ne!(found.ino(), before, "the control: it was replaced");
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (1000, 1000, 0o640), "{path}");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "{path}");
    }
    fs::remove_file(&file).unwrap();
    let refused = place.donjon.run(&["wire", "kolla", "-o", &link]).failed(5);
    assert!(refused.contains("is not replaced"), "a link to nothing: {refused}");
}

#[test]
fn a_heat_environment_is_written_over_where_it_is_placeholders_alone() {
    let place = Place::new();
    let file = place.path("passwords.yaml").display().to_string();
    let words = ["wire", "tripleo", "--environment", &file];
    place.donjon.run(&words).ok();
    place.donjon.run(&words).ok();
    let placeholders = fs::read_to_string(&file).unwrap();
    for (text, why) in [
        ("parameter_defaults:\n  NovaPassword: canary-1\n".to_owned(), "NovaPassword"),
        (format!("resource_registry: {{A::B: c.yaml}}\n{placeholders}"), "resource_registry"),
        (format!("{placeholders}  NtpServer: [a]\n"), "NtpServer"),
        (format!("{placeholders}  MyParameter:\n"), "MyParameter"),
        (format!("{placeholders}  # OPS: ours\n"), "comments that are not of Donjon's"),
        (placeholders.replace("DONJON_REF_NovaPassword_END", "DONJON_REF_NovaPassword_END-suffix"), "NovaPassword"),
    ] {
        place.write("passwords.yaml", &text);
        place.refused(&words, &file, 5, why);
    }
}

#[test]
fn a_replacement_that_was_cut_off_is_none() {
    let place = Place::new();
    let file = place.write("passwords.yml", "database_password: the-old-root-password-4711\nmy_list: [a]\n");
    let adopt = |more: &'static str| ["adopt", &file, "--format", "kolla", more].map(str::to_owned);
    let run = |more: &'static str| {
        let words = adopt(more);
        place.donjon.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    // As a kill leaves it between the second name of the original and the new file.
    fs::hard_link(&file, place.path(".passwords.yml.donjon-adopted")).unwrap();
    let before = fs::read(&file).unwrap();
    run("--confirm").failed(2);
    run("--undo").failed(4);
    assert_eq!(fs::read(&file).unwrap(), before);
    run("--replace").ok();
    assert!(fs::read_to_string(&file).unwrap().contains("lookup("));
    assert_eq!(fs::read(place.path(".passwords.yml.donjon-adopted")).unwrap(), before);
    run("--undo").ok();
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn an_erasing_that_was_cut_off_is_ended_and_never_undone() {
    let place = Place::new();
    // Longer than what a limit lets it overwrite before the kernel kills it.
    let long = "#\n".repeat(4096);
    let file = place.write("passwords.yml", &format!("database_password: the-old-root-password-4711\n{long}"));
    let words = |more: &'static str| ["adopt".to_owned(), file.clone(), "--format".into(), "kolla".into(), more.into()];
    let run = |more: &'static str| place.donjon.run(&words(more).each_ref().map(String::as_str));
    run("--replace").ok();
    let references = fs::read_to_string(&file).unwrap();
    let confirm = words("--confirm");
    let mut cut_off = place.donjon.command_by(&["prlimit", "--fsize=4096"], &confirm.each_ref().map(String::as_str));
    assert_eq!(cut_off.output().unwrap().status.signal(), Some(Signal::XFSZ.as_raw()));
    let names = || fs::read_dir(place.folder.path()).unwrap().count();
    assert_eq!(names(), 2, "the control: it was cut off");
    let refused = run("--undo").failed(4);
    assert!(refused.contains("is being erased"), "{refused}");
    let refused = run("--replace").failed(5);
    assert!(refused.contains("`--confirm` goes on with that"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), references);
    run("--confirm").ok();
    assert_eq!((fs::read_to_string(&file).unwrap(), names()), (references, 1));
}

#[test]
fn what_is_in_the_original_alone_is_not_erased_and_comes_back() {
    let place = Place::new();
    let text = "database_password: the-old-root-password-4711\nsite_vip: \"{{ vip }}\"\nmy_list: [a]\n";
    let file = place.write("passwords.yml", text);
    let run = |more: &str| place.donjon.run(&["adopt", &file, "--format", "kolla", more]);
    let kept = place.path(".passwords.yml.donjon-adopted");
    for put in ["", "# nothing\n", "site_vip: [\n", "site_vip: 10.0.0.1\nmy_list: [a]\n"] {
        run("--replace").ok();
        place.write("passwords.yml", put);
        let refused = run("--confirm").failed(5);
        assert!(refused.contains("is not erased") && refused.contains("nothing was done"), "{refused}");
        assert_eq!(refused.contains("`site_vip` does not stand in"), put.contains("10.0.0.1"), "{refused}");
        assert!(!refused.contains("`my_list`") && fs::read_to_string(&kept).unwrap() == text, "{refused}");
        run("--undo").ok();
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    // Nothing stands there any more, where a link leads.
    run("--replace").ok();
    fs::remove_file(&file).unwrap();
    let link = place.path("link.yml");
    std::os::unix::fs::symlink("passwords.yml", &link).unwrap();
    let run_at_link = |more: &str| place.donjon.run(&["adopt", link.to_str().unwrap(), "--format", "kolla", more]);
    assert!(run_at_link("--confirm").failed(5).contains("no references stand in its place"));
    let undone = run_at_link("--undo").ok();
    assert!(undone.contains("nothing stood there"), "{undone}");
    assert_eq!((fs::read_to_string(&file).unwrap(), kept.exists()), (text.to_owned(), false));
    fs::remove_file(&file).unwrap();
    assert!(run("--undo").failed(2).contains("nothing was done"), "without an original, it is a name of nothing");
}

#[test]
fn what_was_sealed_and_is_not_taken_is_not_opened() {
    let place = Place::new();
    let text = "galera_root_password: canary-of-galera\nkeystone_ldap: {Users: {password: canary-of-ldap}}\n";
    let file = place.write("user_secrets.yml", text);
    let password = place.seal(&file);
    let words = ["adopt", &file, "--format", "osa", "--vault-password-file", &password, "--replace"];
    place.refused(&words, &file, 2, "would lie in clear: keystone_ldap");
    assert!(!Path::new(&place.path(".user_secrets.yml.donjon-adopted")).exists());
    place.donjon.run(&words[..6]).ok();
    assert_eq!(place.donjon.run(&["get", "galera_root_password"]).ok(), "canary-of-galera");
}
