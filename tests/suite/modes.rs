//! Whatever is made is made for its owner alone, from its first moment: no call of a command or a daemon asks the kernel for more,
//! even where the umask takes nothing away.

use donjon_tests::{
    donjon::{Donjon, binary},
    search::modes,
};
use std::{collections::BTreeSet, fs::Permissions, os::unix::fs::PermissionsExt, path::Path, process::Command};

const DEPLOYMENT: &str = "
deployment: site1
catalogue: kolla-ansible
views:
  keystone.database.connection: 'mysql+pymysql://keystone:{keystone_database_password:url}@10.0.0.11/keystone'
roles:
  keystone: {reads: [keystone.database.connection, keystone_database_password], users: [games]}
sites:
  edge1: {roles: [keystone], recipients: [RECIPIENT]}
lookup_socket: FILES/sockets/lookup.sock
";

/// Most of what makes a file, on the deployment host and on a node.
const SCRIPT: &str = r#"
set -eu
trap 'donjon down --force --no-search' EXIT
umask 000
cd "$FILES"
donjon up --store file
printf a-value-long-enough | donjon put keystone_database_password
donjon generate nova_database_password glance_database_password
donjon adopt passwords.yml --replace
donjon adopt passwords.yml --confirm
donjon wire oslo --service keystone --config keystone.conf
grep -q "^mapping_file = $FILES/" keystone.conf
donjon wire oslo --service keystone --config keystone.conf --confirm
donjon wire kolla -o wired.yml
donjon render --disk template -o rendered
donjon run --map X=nova_database_password -- true
donjon run --deploy -- true
donjon export bundle --site edge1 --role keystone -o bundle
donjon import bundle -i node --into folder
donjon receipt folder/receipt || true
donjon audit verify
donjon metrics
donjon scan "$FILES" || true
: > made-by-a-shell
"#;

/// What others are to read or pass through, by the end of its path: the folder of the lookup socket, and the names of secrets, never
/// a value, that a service's own user maps its options by.
const FOR_OTHERS: [&str; 2] = ["/sockets", "/donjon-keystone.conf"];

/// A call that makes something: what it is called, and whom it is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Made {
    path: String,
    mode: u32,
}

/// What a line of strace says was made.
fn made(line: &str) -> Option<Made> {
    let call = line.split_once('(').map(|(before, _)| before.rsplit(' ').next().unwrap_or(before))?;
    let makes = match call {
        "open" | "openat" => line.contains("O_CREAT") || line.contains("O_TMPFILE"),
        "creat" | "mkdir" | "mkdirat" | "mknod" | "mknodat" => true,
        _ => false,
    };
    let arguments = line.split_once('(')?.1;
    // A call that another thread's comes in between ends on a line of its own.
    let arguments = arguments.rsplit_once(" <unfinished").or_else(|| arguments.rsplit_once(") "))?.0;
    let path = arguments.split('"').nth(1)?.to_owned();
    let mode = arguments.rsplit(", ").find_map(|last| u32::from_str_radix(last.strip_prefix('0')?, 8).ok())?;
    makes.then_some(Made { path, mode })
}

#[test]
fn nothing_is_made_for_others() {
    let (donjon, files) = (Donjon::new(), tempfile::tempdir().unwrap());
    let write =
        |name: &str, text: &str| donjon_drivers::fs::replace(&files.path().join(name), text.as_bytes()).unwrap();
    let key = age::x25519::Identity::generate();
    {
        use age::secrecy::ExposeSecret;
        write("node", &format!("{}\n", key.to_string().expose_secret()));
    }
    write(
        "passwords.yml",
        "glance_keystone_password: a-value-that-is-long\nheat_database_password: another-value-that-is-long\n",
    );
    write(
        "keystone.conf",
        "[database]\nconnection = mysql+pymysql://keystone:a-value-long-enough@10.0.0.11/keystone\n",
    );
    write("template", "{{ secret('nova_database_password') }}\n");
    // The service that is wired runs as somebody else: `games`.
    std::fs::set_permissions(files.path(), Permissions::from_mode(0o711)).unwrap();
    std::os::unix::fs::chown(files.path().join("keystone.conf"), Some(5), None).unwrap();
    let folder = files.path().display().to_string();
    donjon.describe(&DEPLOYMENT.replace("RECIPIENT", &key.to_public().to_string()).replace("FILES", &folder));
    let log = files.path().join("strace");
    let plain = donjon.command(&[]);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-s", "4096", "-e", "trace=open,openat,creat,mkdir,mkdirat,mknod,mknodat", "-o"]);
    command.arg(&log).args(["sh", "-c", SCRIPT]);
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("FILES", &folder);
    let bin = binary().parent().unwrap().display().to_string();
    command.env("PATH", format!("{bin}:/usr/sbin:/usr/bin:/sbin:/bin"));
    let ran = command.output().expect("strace is there");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));

    let text = std::fs::read_to_string(&log).unwrap();
    let all: BTreeSet<Made> = text.lines().filter_map(made).collect();
    let makes = |line: &&str| ["O_CREAT", "O_TMPFILE", "mkdir(", "mkdirat("].iter().any(|word| line.contains(word));
    let untold: Vec<&str> = text.lines().filter(makes).filter(|line| made(line).is_none()).collect();
    assert_eq!(untold, [] as [&str; 0], "the control: each line is understood");
    let by_shell = all.iter().find(|one| one.path == "made-by-a-shell");
    assert_eq!(by_shell.map(|one| one.mode), Some(0o666), "the control: a file for all is seen");
    let below = |folder: &Path| all.iter().filter(|one| Path::new(&one.path).starts_with(folder)).count();
    assert!(below(donjon.home()) > 20 && below(files.path()) > 0, "the control: {all:#?}");
    let wide: Vec<&Made> = all
        .iter()
        .filter(|one| one.mode & 0o077 != 0 && one.path != "made-by-a-shell")
        .filter(|one| !FOR_OTHERS.iter().any(|end| one.path.ends_with(end)))
        .collect();
    assert_eq!(wide, [] as [&Made; 0]);
    let later: Vec<_> = modes(donjon.home()).into_iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert_eq!(later, [], "and none is opened later");
}
