//! The rewriting of a service's file, on texts alone.

use super::*;
use proptest::prelude::*;

const PLACES: Places<'_> =
    Places { mapping: "/m", driver: Driver::Donjon { socket: "/s" }, beside: &[], file: "", leave: &[] };

fn of(text: &str) -> Rewrite {
    rewrite(&"keystone".parse().unwrap(), text, PLACES, none).unwrap()
}

fn none(_: &str) -> Vec<SecretName> {
    Vec::new()
}

#[test]
fn an_option_with_the_value_of_a_secret_is_that_secret_whatever_it_is_called() {
    let held = |value: &str| -> Vec<SecretName> {
        let names: &[&str] = match value {
            "canary-1" => &["nova_keystone_password", "nova.keystone_authtoken.password"],
            "canary-2" => &["metadata_secret"],
            "canary-3" => &["glance_password", "NovaPassword", "nova.x"],
            "canary-4" => &["a_password", "b_password"],
            "canary-5" => &["nova.glance.password"],
            _ => &[],
        };
        names.iter().map(|name| name.parse().unwrap()).collect()
    };
    let text = "[keystone_authtoken]\nusername = nova\npassword = canary-1\n[x]\nplain = canary-2\nother = canary-3\n\
                unclear = canary-4\nsecret = unknown\n[glance]\npassword = canary-5\n";
    let done = rewrite(&"nova".parse().unwrap(), text, PLACES, held).unwrap();
    let moved: Vec<_> = done.moved.iter().map(|m| (m.option.to_string(), m.name.as_str(), m.linked)).collect();
    let wanted = [
        ("[keystone_authtoken] password", "nova_keystone_password", true),
        ("[x] plain", "metadata_secret", true),
        ("[x] other", "NovaPassword", true),
        ("[x] secret", "nova.x.secret", false),
        ("[glance] password", "nova.glance.password", false),
    ];
    assert!(moved.iter().map(|(o, n, l)| (o.as_str(), *n, *l)).eq(wanted), "{moved:?}");
    assert_eq!(done.stays, [(OptionName::new("x", "unclear"), SEVERAL)]);
    assert!(done.mapping.contains("password = nova_keystone_password\n"), "{}", done.mapping);
}

fn put_back(rewrite: &Rewrite) -> String {
    let value = |name: &str| rewrite.moved.iter().find(|m| m.name.as_str() == name).unwrap().value.expose(); // EXPOSE: a test value
    rewrite
        .original
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Secret(name) => value(name),
        })
        .collect()
}

#[test]
fn secrets_go_and_all_else_stays_in_its_order() {
    let text = "# head\n[DEFAULT]\ndebug = true\ntransport_url = rabbit://u:canary@h//\n\n[database]\n# the database\nconnection = 'mysql://u:canary@h/d'\nmax_pool_size = 5";
    let done = of(text);
    let expected = "# head\n[DEFAULT]\nconfig_source = donjon\ndebug = true\n\n[database]\n# the database\nmax_pool_size = 5\n\n[donjon]\ndriver = donjon\nmapping_file = /m\nsocket = /s\n";
    assert_eq!(*done.text, expected);
    assert_eq!(
        done.mapping,
        "[DEFAULT]\ntransport_url = keystone.transport_url\n[database]\nconnection = keystone.database.connection\n"
    );
    assert!(!serde_json::to_string(&done.original).unwrap().contains("canary"));
    assert_eq!(put_back(&done), text);
}

#[test]
fn castellan_gets_its_own_section_and_paths() {
    let driver = Driver::Castellan { settings: "/c", deployment: "site1" };
    let text = "[database]\nconnection = mysql://u:canary@h/d\n";
    let done = rewrite(&"keystone".parse().unwrap(), text, Places { driver, ..PLACES }, none).unwrap();
    assert!(
        done.text.ends_with("\n[castellan]\ndriver = castellan\nmapping_file = /m\nconfig_file = /c\n"),
        "{}",
        *done.text
    );
    assert!(done.text.starts_with("[DEFAULT]\nconfig_source = castellan\n"));
    assert_eq!(done.mapping, "[database]\nconnection = site1/keystone.database.connection\n");
}

#[test]
fn castellan_does_not_get_what_may_stand_several_times() {
    let text = "[cache]\nbackend_argument = url:canary\n[simple_crypto_plugin]\nkek = canary\n[other]\nkek = canary\n";
    let by = |driver| {
        let done = rewrite(&"barbican".parse().unwrap(), text, Places { driver, ..PLACES }, none).unwrap();
        let moved = done.moved.iter().map(|moved| moved.option.to_string()).collect::<Vec<_>>();
        (moved, done.stays.iter().map(|(option, why)| (option.to_string(), *why)).collect::<Vec<_>>())
    };
    let (moved, stays) = by(Driver::Castellan { settings: "/c", deployment: "site1" });
    assert_eq!(moved, ["[other] kek"]);
    let several = ["[cache] backend_argument", "[simple_crypto_plugin] kek"];
    assert_eq!(stays, several.map(|option| (option.to_owned(), LETTERS)));
    assert_eq!(by(PLACES.driver).0.len(), 3);
}

#[test]
fn a_later_file_has_a_group_of_its_own_and_names_the_sources_of_all() {
    let wired = |name: &str, text: &str, mapping: &str| Wired::of(Path::new(name), text.as_bytes(), Path::new(mapping));
    let first = of("[DEFAULT]\ntransport_url = canary\n");
    assert_eq!(wired("/f", &first.text, "/other"), None);
    let first = wired("/f", &first.text, "/m").expect("it reads that mapping");
    let text = "[DEFAULT]\nmetadata_proxy_shared_secret = canary\n[donjon]\nmine = 1\n";
    let beside = [first.clone()];
    let places = Places { mapping: "/m2", beside: &beside, file: "metadata-agent.ini", ..PLACES };
    let done = rewrite(&"neutron".parse().unwrap(), text, places, none).unwrap();
    let expected = "[DEFAULT]\nconfig_source = donjon_metadata_agent,donjon\n[donjon]\nmine = 1\n\n\
                    [donjon_metadata_agent]\ndriver = donjon\nmapping_file = /m2\nsocket = /s\n\n\
                    [donjon]\ndefined_in = /f\n";
    assert_eq!(*done.text, expected);
    assert_eq!(put_back(&done), text);
    assert_eq!(wired("/s", &done.text, "/m"), None, "it does not say what reads that");
    let second = wired("/s", &done.text, "/m2").unwrap();
    // What stands in the first by hand, too, and in an order of its own.
    let first = Wired { sources: vec!["donjon".to_owned(), "remote".to_owned()], ..first };
    let beside = [second, first];
    let places = Places { mapping: "/m3", beside: &beside, file: "c.ini", ..PLACES };
    let done = rewrite(&"neutron".parse().unwrap(), "[DEFAULT]\n", places, none).unwrap();
    assert!(done.text.contains("config_source = donjon_c,donjon_metadata_agent,donjon,remote\n"), "{}", *done.text);
    assert!(done.text.ends_with("[donjon_metadata_agent]\ndefined_in = /s\n\n[donjon]\ndefined_in = /f\n"));
}

#[test]
fn what_cannot_move_by_itself_stays_and_says_why() {
    let done = of("[a]\npassword = $b\ntoken = x\ntoken = y\nsecret = z\n  z\nmy_password =\nsecret_s = s\n");
    assert!(done.moved.is_empty(), "{done:?}");
    assert_eq!(done.stays.len(), 6);
}

#[test]
fn what_is_to_be_left_stays_and_must_be_there() {
    let text = "[DEFAULT]\ntransport_url = rabbit://u:canary@h//\n[libvirt]\nmy-password = canary\n";
    let leaving =
        |option: OptionName| rewrite(&"nova".parse().unwrap(), text, Places { leave: &[option], ..PLACES }, none);
    let done = leaving(OptionName::new("Libvirt", "my-password")).unwrap();
    assert_eq!(done.moved.iter().map(|moved| moved.option.name.as_str()).collect::<Vec<_>>(), ["transport_url"]);
    assert_eq!(done.stays.iter().map(|(_, why)| *why).collect::<Vec<_>>(), [LEFT]);
    assert!(done.text.contains("my-password = canary\n"), "{}", *done.text);
    let refused = leaving(OptionName::new("DEFAULT", "transport_uri")).unwrap_err().to_string();
    assert!(refused.ends_with("; did you mean `DEFAULT.transport_url`?"), "{refused}");
    assert!(!leaving(OptionName::new("x", "y")).unwrap_err().to_string().contains("did you mean"));
}

#[test]
fn a_file_that_has_sources_is_left_alone() {
    let refused = |text: &str| rewrite(&"a".parse().unwrap(), text, PLACES, none).unwrap_err();
    assert_eq!(refused("[DEFAULT]\nconfig_source = x\n"), Unwired::Sourced { line: 2 });
    assert_eq!(refused("[donjon]\na = 1\n"), Unwired::Taken { group: "donjon".to_owned() });
    assert_eq!(refused("[x]\r\n"), Unwired::LineEnds);
}

proptest! {
    #[test]
    fn any_file_comes_back_as_it_was(lines in proptest::collection::vec("(\\[[a-c]\\]|password[a-c]? ?= ?['\"]?[a-z=$]{0,5}['\"]?|# x|| z|other=1)", 0..12)) {
        let text = format!("[DEFAULT]\n{}", lines.join("\n"));
        if let Ok(done) = rewrite(&"k".parse().unwrap(), &text, PLACES, none) {
            prop_assert_eq!(put_back(&done), text);
            prop_assert!(parse(done.text.as_bytes()).is_ok());
        }
    }
}
