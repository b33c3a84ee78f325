//! `donjon wire nova` on nova's own tables, made by nova itself on a real MariaDB: nova reads the same from a template as from
//! the URL that stood there, logs in to its cells after a rotation, and is cut off by the same rotation without templates.

use donjon_tests::{donjon::Donjon, mariadb::MariaDb, tools};
use std::{path::PathBuf, process::Command};

const ROOT: &str = "root-password-4711";
const API: &str = "api-password-0815";
/// One that stands in a URL as it is: nova takes the encoding of others away where it makes the row of cell0.
const NOVA: &str = "nova-password_2~4711";
const MESSAGES: &str = "messages-password-1";

struct Scene {
    server: MariaDb,
    donjon: Donjon,
    folder: tempfile::TempDir,
}

impl Scene {
    /// A server with nova's databases, and the broker that has their passwords.
    async fn new() -> Self {
        let server = MariaDb::start().await;
        for (user, value) in [("root", ROOT), ("nova_api", API), ("nova", NOVA)] {
            server.account(user, "%", value).await;
        }
        for database in ["nova_api", "nova", "nova_cell0"] {
            server.sql(&format!("CREATE DATABASE {database}")).await;
        }
        let donjon = Donjon::new();
        donjon.describe(&format!(
            "deployment: site1\ntargets:\n  mariadb:\n    driver: mariadb\n    nodes:\n      - {{name: db1, address: 127.0.0.1, port: {}, socket: {}}}\n",
            server.port,
            server.socket().display()
        ));
        donjon.up();
        donjon.run_with_input(&["put", "database_password"], ROOT.as_bytes()).ok();
        donjon.run_with_input(&["put", "nova_database_password"], NOVA.as_bytes()).ok();
        let scene = Self { server, donjon, folder: tempfile::tempdir().unwrap() };
        scene.configure(NOVA);
        scene.manage(&["api_db", "sync"]);
        scene.manage(&["cell_v2", "map_cell0"]);
        scene.manage(&["cell_v2", "create_cell", "--name", "cell1"]);
        scene
    }

    /// Writes nova.conf, as a deployer does.
    fn configure(&self, password: &str) {
        let port = self.server.port;
        let text = format!(
            "[DEFAULT]\ntransport_url = rabbit://openstack:{MESSAGES}@10.0.0.1:5672,openstack:{MESSAGES}@10.0.0.2:5672//\n\
             state_path = {folder}\nlog_file = {folder}/nova.log\n\
             [api_database]\nconnection = mysql+pymysql://nova_api:{API}@127.0.0.1:{port}/nova_api\n\
             [database]\nconnection = mysql+pymysql://nova:{password}@127.0.0.1:{port}/nova?charset=utf8\n",
            folder = self.folder.path().display(),
        );
        donjon_drivers::fs::replace(&self.configuration(), text.as_bytes()).unwrap();
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("nova.conf")
    }

    fn wire(&self, more: &[&str]) -> Vec<String> {
        let file = self.configuration().display().to_string();
        [&["wire", "nova", "--config-file", &file], more].concat().into_iter().map(str::to_owned).collect()
    }

    fn wired(&self, more: &[&str]) -> donjon_tests::donjon::Ran {
        let words = self.wire(more);
        let ran = self.donjon.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        for value in [ROOT, API, NOVA, MESSAGES] {
            assert!(![&ran.out, &ran.err].iter().any(|text| text.contains(value)), "a value was shown: {ran:?}");
        }
        ran
    }

    fn manage(&self, arguments: &[&str]) -> String {
        said(Command::new(tools::program("nova-manage")).arg("--config-file").arg(self.configuration()).args(arguments))
    }

    /// What nova makes of the rows of its cells.
    fn cells(&self) -> String {
        self.manage(&["cell_v2", "list_cells", "--verbose"])
    }

    /// Whether nova gets into the databases of its cells with what it reads there.
    fn logins(&self) -> Vec<String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/nova/cells.py");
        let said = said(Command::new(tools::program("python3")).arg(script).arg(self.configuration()));
        said.lines().map(str::to_owned).collect()
    }

    /// The rows themselves.
    async fn rows(&self) -> Vec<Vec<String>> {
        self.server.sql("SELECT name, database_connection, transport_url FROM nova_api.cell_mappings ORDER BY id").await
    }

    /// A rotation, after which the deployer writes the file anew.
    fn rotate(&self) -> String {
        self.donjon.run(&["rotate", "apply", "nova_database_password"]).ok();
        let value = self.donjon.run(&["get", "nova_database_password"]).ok();
        self.configure(&value);
        value
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn novas_cells_become_templates_that_no_rotation_touches() {
    let scene = Scene::new().await;
    let (before, listed) = (scene.rows().await, scene.cells());
    assert!(before[0][1].contains(NOVA) && before[1][2].contains(MESSAGES), "the control: values stand there");
    assert!(listed.contains("cell0") && listed.contains(NOVA), "{listed}");

    let planned = scene.wired(&["--plan"]).ok();
    assert!(planned.contains("nothing was done yet") && planned.contains("nova:********@127.0.0.1"), "{planned}");
    assert_eq!(scene.rows().await, before, "a plan changes nothing");

    let log = scene.server.folder().join("general.log");
    let at = std::fs::metadata(&log).unwrap().len();
    let done = scene.wired(&["--output", "json"]).json();
    assert_eq!(done["changed"], 3, "{done}");
    let port = scene.server.port;
    let database =
        |name: &str| format!("mysql+pymysql://{{username}}:{{password}}@127.0.0.1:{port}/{name}?charset=utf8");
    let messages = "rabbit://{username1}:{password1}@10.0.0.1:5672,{username1}:{password1}@10.0.0.2:5672//".to_owned();
    let wanted = [
        ["cell0".to_owned(), database("nova_cell0"), "none:///".to_owned()],
        ["cell1".to_owned(), database("nova"), messages],
    ];
    assert_eq!(scene.rows().await, wanted);
    let logged = &std::fs::read(&log).unwrap()[usize::try_from(at).unwrap()..];
    let logged = String::from_utf8_lossy(logged);
    assert!(logged.contains("{username}:{password}@127.0.0.1"), "the control: what was said is logged");
    assert!(!logged.contains(NOVA) && !logged.contains(MESSAGES), "no value was said to the server");
    assert_eq!(scene.cells(), listed, "nova reads the same");
    let again = scene.wired(&["--output", "json"]).json();
    assert_eq!(again["changed"], 0, "{again}");

    // A rotation leaves the rows alone, and nova gets in.
    let rotated = scene.rotate();
    assert_eq!(scene.rows().await, wanted);
    let listed = scene.cells();
    assert!(listed.contains(&rotated) && !listed.contains(NOVA), "{listed}");
    assert_eq!(scene.logins(), ["cell0 in nova@% nova_cell0", "cell1 in nova@% nova"]);

    // Undone, the values of now stand there; and the next rotation cuts nova off: the control.
    scene.wired(&["--undo"]).ok();
    let undone = scene.rows().await;
    assert_eq!(undone[0][1], before[0][1].replace(NOVA, &rotated));
    assert_eq!((&undone[1][1], &undone[1][2]), (&before[1][1].replace(NOVA, &rotated), &before[1][2]));
    assert_eq!(scene.wired(&["--undo", "--output", "json"]).json()["changed"], 0);
    scene.rotate();
    assert_eq!(scene.logins(), ["cell0 denied", "cell1 denied"]);

    // What would say something else to nova is refused, all of it; and left where that is asked.
    let refused = scene.wired(&[]).failed(8);
    assert!(
        refused.contains("database_connection of cell0") && refused.contains("another one than that of the setting")
    );
    assert_eq!(scene.rows().await, undone);
    let uuid = scene.server.sql("SELECT uuid FROM nova_api.cell_mappings WHERE name = 'cell1'").await[0][0].clone();
    let left = ["--leave", "00000000-0000-0000-0000-000000000000", "--leave", &uuid];
    assert!(scene.wired(&left).ok().contains("nothing to change"));
}

#[test]
fn a_file_without_an_api_database_is_told() {
    let donjon = Donjon::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nova.conf");
    let wire = |text: &str| {
        donjon_drivers::fs::replace(&file, text.as_bytes()).unwrap();
        donjon.run(&["wire", "nova", "--config-file", &file.display().to_string()])
    };
    assert!(wire("[DEFAULT]\n").failed(4).contains("of its API, not of a compute node"));
    let odd = wire("[api_database]\nconnection = sqlite:///pw-4711\n").failed(2);
    assert!(odd.contains("`sqlite` is not MySQL's protocol") && !odd.contains("4711"), "{odd}");
    // Nobody listens there.
    let port = donjon_tests::port::free();
    let away = wire(&format!("[api_database]\nconnection = mysql://u:pw-4711@127.0.0.1:{port}/nova_api\n")).failed(6);
    assert!(!away.contains("4711"), "{away}");
    assert!(donjon.run(&["wire", "nova"]).failed(2).contains("--config-file"));
}

/// What a program printed on its standard output; nova warns on the other.
fn said(command: &mut Command) -> String {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}
