//! The differences that are allowed, each with its reason and its own test, and the cases that found something.
//!
//! Where the original goes on with a default that nobody chose, Donjon says that it cannot tell. The rest of the list is
//! what Donjon does not read, and says so.

use super::{
    case::{Case, Declared, File, Given, Kind, Served},
    differential::{Tally, judge},
    oracle::{Oracle, Told},
    ours::{self, Made},
    scene::Scene,
};
use donjon_drivers::source::{OpenError, ReadError, SourceError};

/// A case of one file with one option of a type.
fn case(kind: Kind, multi: bool, text: &str) -> Case {
    let option = Declared {
        group: "g".to_owned(),
        name: "o".to_owned(),
        r#type: kind,
        multi,
        argument: false,
        default: None,
        former: Vec::new(),
    };
    Case {
        options: vec![option],
        files: vec![File { name: "f.conf".to_owned(), content: hex::encode(text) }],
        arguments: vec![Given::File("f.conf".to_owned())],
        ..Case::default()
    }
}

async fn both(case: &Case, scene: &Scene) -> (Told, Made) {
    scene.set(case);
    (Oracle::start().ask(case, scene).unwrap(), ours::make(case, scene).await)
}

fn served(content: &str, content_type: Option<&str>, status: u16) -> Served {
    Served {
        path: "/x".to_owned(),
        status,
        content_type: content_type.map(str::to_owned),
        content: hex::encode(content),
    }
}

const REMOTE: &str = "[DEFAULT]\nconfig_source = s\n[s]\ndriver = remote_file\nuri = @HTTP@/x\n";

/// The original logs and goes on without the source: the service starts on its defaults.
#[tokio::test]
async fn a_source_that_cannot_be_opened_is_an_error() {
    let scene = Scene::new();
    for (text, status) in [
        (REMOTE, 404),
        (REMOTE, 500),
        ("[DEFAULT]\nconfig_source = s\n[s]\ndriver = remote_file\nuri = http://127.0.0.1:1/x\n", 200),
        ("[DEFAULT]\nconfig_source = s\n[s]\ndriver = vault\n", 200),
        ("[DEFAULT]\nconfig_source = s\n", 200),
        (
            "[DEFAULT]\nconfig_source = s\n[s]\ndriver = castellan\nconfig_file = /no/such\nmapping_file = /no/such\n",
            200,
        ),
    ] {
        let case =
            Case { served: vec![served("[g]\no=1\n", Some("text/plain"), status)], ..case(Kind::text(), false, text) };
        let (told, made) = both(&case, &scene).await;
        assert!(told.opened.is_none() && told.values[0].value.is_null(), "the original goes on: {text}: {told:?}");
        let errors = made.unwrap_err();
        assert!(matches!(errors[..], [OpenError::Source { .. } | OpenError::Settings(_)]), "{text}: {errors:?}");
    }
    let control =
        Case { served: vec![served("[g]\no=1\n", Some("text/plain"), 200)], ..case(Kind::text(), false, REMOTE) };
    let (told, made) = both(&control, &scene).await;
    assert_eq!(told.values[0].value, made.unwrap()[0].as_ref().unwrap().0, "the control: it is read where it answers");
}

/// The original follows, and the file comes from somewhere that nobody named.
#[tokio::test]
async fn a_redirect_is_an_error() {
    let scene = Scene::new();
    let there = Served { path: "/there".to_owned(), ..served("[g]\no=1\n", Some("text/plain"), 200) };
    let served = vec![served("", None, 302), there];
    let (told, made) = both(&Case { served, ..case(Kind::text(), false, REMOTE) }, &scene).await;
    assert_eq!(told.values[0].value["text"], hex::encode("1"), "the original follows");
    let errors = made.unwrap_err();
    let OpenError::Source { source, .. } = &errors[0] else { panic!("{errors:?}") };
    assert!(matches!(**source, SourceError::Status { status: 302, .. }), "{errors:?}");
}

/// The original guesses the character set of a body whose type does not say it.
#[tokio::test]
async fn a_body_of_an_unknown_character_set_is_an_error() {
    let scene = Scene::new();
    let odd = Served { content: hex::encode(b"[g]\no=gr\xfc\xdfe\n"), ..served("", None, 200) };
    let (told, made) = both(&Case { served: vec![odd], ..case(Kind::text(), false, REMOTE) }, &scene).await;
    assert!(told.opened.is_none() && told.values[0].value["text"].is_string(), "the original guesses: {told:?}");
    assert!(matches!(made.unwrap_err()[..], [OpenError::Source { .. }]));
}

/// Guessing, it takes some ASCII for UTF-16, cannot read that, and goes on without the source.
#[tokio::test]
async fn ascii_whose_type_is_not_said_is_ascii() {
    let scene = Scene::new();
    for (text, goes_on) in [("[DEFAULT]\nmy-opt=#]'\"\u{1c}\n\t\\\n", true), ("[DEFAULT]\nmy-opt=#]'\"\n\t\\\n", false)]
    {
        let case = Case { served: vec![served(text, None, 200)], ..case(Kind::text(), false, REMOTE) };
        let (told, made) = both(&case, &scene).await;
        let without = format!("{told:?}").contains("could not load configuration from 's'");
        assert!(told.opened.is_none() && without == goes_on, "{text:?}: {told:?}");
        assert!(made.is_ok(), "{text:?}: {made:?}");
    }
}

/// Python takes digits of every script for digits. In a port or a size they are a mistake, or a trick.
#[tokio::test]
async fn digits_are_ascii() {
    let scene = Scene::new();
    let (told, made) = both(&case(Kind::Integer { min: None, max: None }, false, "[g]\no=١٢\n"), &scene).await;
    assert_eq!(told.values[0].value["integer"], "12", "the original reads it");
    assert!(matches!(made.unwrap()[0], Err(ReadError::Invalid { .. })));
}

/// Python hands bytes that are no text on as lone surrogates, which fail wherever they are written.
#[tokio::test]
async fn an_environment_variable_is_text() {
    let scene = Scene::new();
    let odd = Case { environment: vec![("OS_G__O".to_owned(), "ff".to_owned())], ..case(Kind::text(), false, "") };
    let (told, made) = both(&odd, &scene).await;
    assert_eq!(told.values[0].value["text"], "edb3bf", "the original has a lone surrogate");
    assert!(matches!(made.unwrap()[0], Err(ReadError::Source(_))));
}

fn castellan(settings: &str, mapped: &str) -> Case {
    let text = "[DEFAULT]\nconfig_source = s\n[s]\ndriver = castellan\nconfig_file = @DIR@/c.conf\nmapping_file = @DIR@/m.conf\n";
    let mut case = case(Kind::text(), false, text);
    let settings = format!(
        "[key_manager]\nbackend = vault\n[vault]\nkv_mountpoint = kv\nkv_path = d\nvault_url = @VAULT@\n\
         ssl_ca_crt_file = @DIR@/ca.pem\nroot_token_id = @TOKEN@\n{settings}\n"
    );
    for (name, content) in [("c.conf", settings), ("m.conf", format!("[g]\no = {mapped}\n"))] {
        case.files.push(File { name: name.to_owned(), content: hex::encode(content) });
    }
    case
}

/// castellan logs and answers "not set": the service starts on its defaults.
#[tokio::test]
async fn a_secret_that_cannot_be_read_is_an_error() {
    let mut scene = Scene::with_vault().await;
    let untold = async |scene: &Scene, case: &Case, why: &str| {
        let (told, made) = both(case, scene).await;
        assert!(told.opened.is_none() && told.values[0].value.is_null(), "the original goes on: {why}: {told:?}");
        assert!(told.values[0].error.is_none(), "{why}: {told:?}");
        let made = made.unwrap();
        assert!(matches!(&made[0], Err(ReadError::Source(_))), "{why}: {made:?}");
    };
    for name in ["absent", "no-value", "no-name", "no-created", "odd-type", ""] {
        untold(&scene, &castellan("", name), name).await;
    }
    // It starts, and each of its requests is refused by Python's own sockets.
    for time in ["-1", "0", "nan", "inf", "9.3e9"] {
        untold(&scene, &castellan(&format!("[vault]\ntimeout = {time}"), "plain"), time).await;
    }
    let control = castellan("[vault]\ntimeout = 9.2e9", "plain");
    let (told, made) = both(&control, &scene).await;
    assert_eq!(told.values[0].value["text"], hex::encode("correct-horse"), "the control");
    assert_eq!(made.unwrap()[0].as_ref().unwrap().0, told.values[0].value);
    scene.seal().await;
    untold(&scene, &control, "sealed").await;
    scene.kill();
    untold(&scene, &control, "gone").await;
}

/// What castellan can do and is not read here.
#[tokio::test]
async fn what_is_not_read_of_castellan_is_said() {
    let scene = Scene::with_vault().await;
    for (settings, word) in [
        ("[key_manager]\nfixed_key = 00", "fixed_key"),
        ("[key_manager]\nbackend = barbican", "backend"),
        ("[vault]\nkv_version = 1", "kv_version"),
        ("[vault]\nvault_url = http://192.0.2.1:8200", "in clear"),
        ("[DEFAULT]\nconfig_source = t\n[t]\ndriver = remote_file\nuri = @HTTP@/x", "config_source"),
    ] {
        let mut case = castellan(settings, "plain");
        case.served = vec![served("", Some("text/plain"), 200)];
        scene.set(&case);
        let errors = ours::make(&case, &scene).await.unwrap_err();
        let told = donjon::settings::outcome::opening(&errors).to_string();
        assert!(told.contains(word), "{settings}: {told}");
    }
    // A name that could be another record's by an alias.
    let case = castellan("", "folder/../plain");
    scene.set(&case);
    assert!(matches!(ours::make(&case, &scene).await.unwrap()[0], Err(ReadError::Source(_))));
}

/// What the generated cases have found, and what is easily lost.
#[tokio::test]
async fn what_was_found_once_reads_the_same() {
    let scene = Scene::new();
    let mut oracle = Oracle::start();
    let mut tally = Tally::default();
    let number = Kind::Integer { min: Some(0), max: Some(65535) };
    let option = |group: &str, name: &str, default: Option<&str>| Declared {
        default: default.map(|text| vec![text.to_owned()]),
        group: group.to_owned(),
        name: name.to_owned(),
        ..case(Kind::text(), false, "").options.remove(0)
    };
    let cases = [
        // A reference that ends at an option that is not there, however far down, looks in DEFAULT too.
        Case {
            options: vec![
                option("g", "o", Some("$p")),
                option("g", "p", Some("$nosuch")),
                option("DEFAULT", "p", Some("here")),
            ],
            ..Case::default()
        },
        // A value on the command line that refers to itself means what the environment says.
        Case {
            options: vec![Declared { argument: true, ..option("g", "o", None) }],
            environment: vec![("OS_G__O".to_owned(), hex::encode("e"))],
            ..case(Kind::text(), false, "[g]\no = ${o}\n")
        },
        // In a number, a separator of ASCII is no white space, whatever else is there.
        Case { environment: vec![("OS_G__O".to_owned(), hex::encode("2\u{1c} "))], ..case(number.clone(), false, "") },
        Case { environment: vec![("OS_G__O".to_owned(), hex::encode("\u{a0}2\u{1c} "))], ..case(number, false, "") },
        // A text for an option that takes several is taken letter by letter.
        Case { environment: vec![("OS_G__O".to_owned(), hex::encode("ab"))], ..case(Kind::text(), true, "") },
        case(Kind::text(), true, "[g]\no = a\no =\n[G]\no = c\n  d\n"),
        // The last of two lines counts, and in it the last of two files.
        case(Kind::text(), false, "[DEFAULT]\nconfig_source = a\nconfig_source =\n[g]\no = \n"),
        case(Kind::text(), false, "[g]\no = $DEFAULT.o\n"),
        case(Kind::text(), false, "[g]\no = \\$x $$y \\\\$$\n"),
    ];
    for (index, case) in cases.iter().enumerate() {
        if let Err(difference) = judge(case, &scene, &mut oracle, &mut tally).await {
            panic!("case {index}: {difference}");
        }
    }
    assert_eq!(tally.cases, cases.len());
}
