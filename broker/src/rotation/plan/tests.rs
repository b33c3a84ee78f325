//! Plans of a small deployment.

use super::*;
use crate::{
    failure::{Exit, Failure},
    rotation::subject::Way,
    socket::message::RotateAsked,
};
use donjon_policies::{
    catalogue::Catalogue, deployment::Deployment, name::SecretName, strategy::Outage, transition::Path,
};

const DEPLOYMENT: &str = "
deployment: site1
targets:
  mariadb: {driver: mariadb, nodes: []}
  rabbit: {driver: rabbitmq}
  keystone: {driver: keystone}
services:
  web: {driver: systemd, order: 2, uses: [root_url]}
  api: {driver: container, order: 1, uses: [database_password, nova_database_password]}
views:
  root_url: 'mysql://root:{database_password:url}@127.0.0.1/'
roles: {db: {reads: [root_url]}, none: {reads: [keystone_admin_password]}}
sites:
  edge1: {roles: [db], recipients: []}
  edge2: {roles: [none], recipients: []}
";

fn plan_in(deployment: &str, asked: &RotateAsked) -> Result<Plan, Failure> {
    plan(&Catalogue::named("kolla-ansible").unwrap(), &Deployment::parse("donjon.yaml", deployment).unwrap(), asked)
}

fn plan_of(asked: &RotateAsked) -> Result<Plan, Failure> {
    plan_in(DEPLOYMENT, asked)
}

fn names(names: &[&str]) -> RotateAsked {
    RotateAsked { names: names.iter().map(ToString::to_string).collect(), ..RotateAsked::default() }
}

#[test]
fn mysql_root_is_planned_with_its_consumers_in_order_and_its_sites() {
    let plan = plan_of(&names(&["database_password"])).unwrap();
    let [rotation] = plan.rotations.as_slice() else { panic!("{plan:?}") };
    let [planned] = rotation.secrets.as_slice() else { panic!("{plan:?}") };
    assert_eq!((rotation.path, rotation.outage), (Path::Overlap, Outage::None));
    assert_eq!((planned.credentials[0].users[0].as_str(), planned.credentials[0].way), ("root", Way::Both));
    let restarts: Vec<_> =
        rotation.restarts.iter().flat_map(|step| &step.instances).map(|i| i.service.to_string()).collect();
    assert_eq!(restarts, ["api", "web"]);
    assert_eq!(rotation.views.len(), 1);
    assert!(rotation.unread.is_empty(), "the view counts as a use");
    assert_eq!(rotation.sites.iter().map(ToString::to_string).collect::<Vec<_>>(), ["edge1"]);
}

#[test]
fn secrets_of_one_way_and_wave_rotate_as_one_and_a_consumer_of_several_restarts_once() {
    let plan = plan_of(&names(&["nova_database_password", "glance_database_password"])).unwrap();
    let [rotation] = plan.rotations.as_slice() else { panic!("{plan:?}") };
    assert_eq!(rotation.secrets.len(), 2);
    assert_eq!(rotation.unread.iter().map(SecretName::as_str).collect::<Vec<_>>(), ["glance_database_password"]);
    assert!(cut_off(&rotation.unread).is_some_and(|text| text.contains("`glance_database_password`")));
    let twice = plan_of(&names(&["nova_database_password", "nova_database_password"])).unwrap();
    assert_eq!(twice.rotations[0].secrets.len(), 1);
    let both = plan_of(&names(&["nova_database_password", "database_password"])).unwrap();
    let waves: Vec<_> = both.rotations.iter().map(|r| r.secrets[0].secret.to_string()).collect();
    assert_eq!(waves, ["database_password", "nova_database_password"], "root in the wave before");
}

#[test]
fn what_was_named_first_goes_first_within_its_wave() {
    let names_of = |asked: &[&str]| -> Vec<String> {
        let asked = RotateAsked { accept_outage: true, ..names(asked) };
        let plan = plan_of(&asked).unwrap();
        plan.rotations.iter().map(|rotation| rotation.secrets[0].secret.to_string()).collect()
    };
    let (one, two) = ("rabbitmq_password", "nova_keystone_password");
    assert_eq!(names_of(&[one, two]), [one, two]);
    assert_eq!(names_of(&[two, one]), [two, one]);
    // A rotation is where the first of its secrets was named, and its wave comes before that.
    assert_eq!(names_of(&["glance_keystone_password", one, two]), ["glance_keystone_password", one]);
    assert_eq!(names_of(&[two, one, "nova_database_password"]), ["nova_database_password", two, one]);
}

#[test]
fn each_strategy_has_its_path_and_its_price() {
    for (name, path, outage) in [
        ("rabbitmq_password", Path::Overlap, Outage::None),
        ("nova_keystone_password", Path::Cutover, Outage::OneService),
        ("memcache_secret_key", Path::Together, Outage::AllReaders),
    ] {
        let plan = plan_of(&names(&[name])).unwrap();
        assert_eq!((plan.rotations[0].path, plan.rotations[0].outage), (path, outage), "{name}");
        let refused = outage_accepted(&plan, &names(&[name]));
        assert_eq!(refused.is_err(), outage != Outage::None, "{name}");
        let accepted = RotateAsked { accept_outage: true, ..names(&[name]) };
        assert!(outage_accepted(&plan, &accepted).is_ok());
    }
}

#[test]
fn behind_a_proxy_that_holds_one_password_twins_are_taken() {
    let with_proxy = DEPLOYMENT.replace("targets:\n", "targets:\n  proxysql: {driver: proxysql}\n");
    let plan = plan_in(&with_proxy, &names(&["nova_database_password"])).unwrap();
    let credentials = &plan.rotations[0].secrets[0].credentials;
    assert_eq!(
        credentials.iter().map(|c| (c.target.as_str(), c.way)).collect::<Vec<_>>(),
        [("mariadb", Way::Twin), ("proxysql", Way::Twin)]
    );
}

#[test]
fn what_must_never_change_is_refused_when_named_and_left_alone_in_bulk() {
    let never: Vec<SecretName> = Catalogue::named("kolla-ansible")
        .unwrap()
        .current()
        .filter(|e| e.credentials.iter().any(|c| c.strategy.refusal().is_some()))
        .map(|e| e.name.clone())
        .collect();
    assert!(never.len() > 5);
    let all = plan_of(&RotateAsked { all: true, ..RotateAsked::default() }).unwrap();
    for name in &never {
        assert_eq!(plan_of(&names(&[name.as_str()])).unwrap_err().code, Exit::Refused, "{name}");
        let planned = all.rotations.iter().flat_map(|r| &r.secrets).any(|p| p.secret == *name);
        assert!(!planned && all.left.iter().any(|l| l.secret == *name), "{name}");
    }
}

#[test]
fn an_unknown_name_has_the_nearest_one() {
    let failure = plan_of(&names(&["database_pasword"])).unwrap_err();
    assert_eq!(failure.code, Exit::NotThere);
    assert!(failure.hint.unwrap().contains("database_password"));
    // Of what another deployer has, that is told first.
    let failure = plan_of(&names(&["galera_root_password"])).unwrap_err();
    assert!(failure.hint.unwrap().contains("`catalogue: openstack-ansible` in donjon.yaml"));
}

#[test]
fn what_is_compromised_goes_first_and_costs_an_outage() {
    let asked = RotateAsked { compromised: true, ..names(&["database_password"]) };
    let plan = plan_of(&asked).unwrap();
    assert_eq!((plan.rotations[0].path, plan.rotations[0].outage), (Path::Compromised, Outage::OneService));
    assert_eq!(outage_accepted(&plan, &asked).unwrap_err().code, Exit::Refused);
}

#[test]
fn a_service_whose_own_role_does_not_read_what_changes_is_not_restarted() {
    let judged = |roles: &str, name: &str| {
        let (catalogue, text) = (Catalogue::named("kolla-ansible").unwrap(), DEPLOYMENT.replace("none: {", roles));
        let deployment = Deployment::parse("donjon.yaml", &text).unwrap();
        let planned = plan(&catalogue, &deployment, &names(&[name])).unwrap();
        restarts_readable(&catalogue, &deployment, &planned.rotations).map_err(|failure| (failure.code, failure.causes))
    };
    let of = |service: &str, reads: &str| format!("{service}: {{reads: [{reads}], users: [{service}]}}, none: {{");
    let root = |roles: &str| judged(roles, "database_password");
    let refused = Err((Exit::NotAllowed, vec!["the role `web` does not read `root_url`".to_owned()]));
    assert_eq!(root(&of("web", "nova_database_password")), refused, "and `api` has no role of its name");
    // The view itself, or what it is made of.
    for reads in ["root_url", "root_url, nova_database_password", "database_password"] {
        assert_eq!(root(&of("web", reads)), Ok(()), "{reads}");
    }
    assert_eq!(root(&of("api", "root_url")), Ok(()), "in a view");
    assert_eq!(judged(&of("web", "x"), "nova_database_password"), Ok(()), "it is not restarted");
    let of_a_site = "web: {reads: [nova_database_password]}, none: {";
    assert_eq!(root(of_a_site), Ok(()), "nobody reads by it here");
    // Where all are meant, the others go on.
    let all = RotateAsked { all: true, ..RotateAsked::default() };
    let all = plan_in(&DEPLOYMENT.replace("none: {", &of("api", "x")), &all).unwrap();
    let why = |name: &str| all.left.iter().find(|left| left.secret.as_str() == name).map(|left| left.why.clone());
    assert!(why("database_password").is_some_and(|why| why.contains("role of the service `api`")), "{all:?}");
    assert!(!all.rotations.is_empty());
}

#[test]
fn consumers_that_would_not_survive_are_warned_of() {
    let api = "uses: [database_password, nova_database_password]";
    let told = |changes: &[(&str, &str)], name: &str| {
        let text = changes.iter().fold(DEPLOYMENT.to_owned(), |text, (old, new)| text.replace(old, new));
        let deployment = Deployment::parse("donjon.yaml", &text).unwrap();
        let planned = plan(&Catalogue::named("kolla-ansible").unwrap(), &deployment, &names(&[name])).unwrap();
        warnings(&deployment, &planned.rotations)
    };
    // A twin has another name, which the value alone does not tell.
    let bare = told(&[(api, "uses: [rabbitmq_password]")], "rabbitmq_password");
    assert!(matches!(&*bare, [one] if one.contains("`api` does not read that user's name")), "{bare:?}");
    for (user, warned) in [("openstack", 1), ("{rabbitmq_password:user:openstack}", 0)] {
        let view = format!("views:\n  rabbit: 'rabbit://{user}:{{rabbitmq_password:url}}@h'\n");
        let told = told(&[("views:\n", &view), (api, "uses: [rabbit]")], "rabbitmq_password");
        assert_eq!(told.len(), warned, "{user}: {told:?}");
    }
    let cutover = ("roles: {", "strategies: {rabbitmq_password: cutover}\nroles: {");
    assert_eq!(told(&[cutover, (api, "uses: [rabbitmq_password]")], "rabbitmq_password"), Vec::<String>::new());
    assert_eq!(told(&[], "database_password"), Vec::<String>::new(), "one user");
    // Whoever reads it by a role of its name and does not say so.
    let both = ("roles: {", "roles: {api: {reads: [database_password, nova_database_password], users: [x]}, ");
    let unused = told(&[both, (api, "uses: [database_password]")], "nova_database_password");
    assert!(
        matches!(&*unused, [one] if one.contains("the role of `api` reads `nova_database_password`")),
        "{unused:?}"
    );
    assert_eq!(told(&[both], "nova_database_password"), Vec::<String>::new());
    assert_eq!(told(&[both, (api, "uses: [database_password]")], "database_password"), Vec::<String>::new());
}

#[test]
fn a_consumer_that_only_starts_proves_nothing() {
    let kolla = Catalogue::named("kolla-ansible").unwrap();
    let deployment = |more: &str| {
        let service =
            format!("api: {{driver: container, uses: [nova_keystone_password, nova_database_password]{more}}}");
        let text = DEPLOYMENT
            .replace("api: {driver: container, order: 1, uses: [database_password, nova_database_password]}", &service);
        Deployment::parse("donjon.yaml", &text).unwrap()
    };
    let refused = |more: &str, name: &str, compromised: bool| {
        let deployment = deployment(more);
        let asked = RotateAsked { compromised, ..names(&[name]) };
        let planned = plan(&kolla, &deployment, &asked).unwrap();
        let warned = warnings(&deployment, &planned.rotations);
        let kept = kept_back(&kolla, &deployment, &planned.rotations);
        let refused = consumers_provable(&deployment, &planned.rotations).err();
        assert_eq!(kept.len(), usize::from(refused.is_some()), "{kept:?}");
        (warned, refused.map(|failure| failure.causes))
    };
    let told = ["nothing shows whether `api` logs in with a new `nova_keystone_password`".to_owned()].to_vec();
    assert_eq!(refused("", "nova_keystone_password", false), (told.clone(), Some(told.clone())));
    assert_eq!(refused("", "nova_keystone_password", true), (told.clone(), None), "others know it: it goes first");
    let fine = (Vec::new(), None);
    for enough in [", check: [x]", ", proof: start", ", proof: check, check: [x]"] {
        assert_eq!(refused(enough, "nova_keystone_password", false), fine, "{enough}");
    }
    assert_eq!(refused("", "nova_database_password", false), fine, "its sessions are seen");
    assert!(
        refused(", proof: check", "nova_database_password", false).1.is_some(),
        "no check, and no look at sessions"
    );
    // Where all are meant, it is left, with the reason.
    let all = RotateAsked { all: true, ..RotateAsked::default() };
    for (more, left) in [("", true), (", check: [x]", false)] {
        let all = plan(&kolla, &deployment(more), &all).unwrap();
        let why = all.left.iter().find(|left| left.secret.as_str() == "nova_keystone_password");
        assert_eq!(why.is_some_and(|left| left.why == told[0]), left, "{why:?}");
        assert_eq!(consumers_provable(&deployment(more), &all.rotations), Ok(()));
    }
}

#[test]
fn a_refusal_says_how_else() {
    let text = "deployment: d\nkeyrings: {KeystoneFernetKeys: {driver: repository, nodes: []}}\n";
    let (tripleo, deployment) = (Catalogue::named("tripleo").unwrap(), Deployment::parse("f", text).unwrap());
    let asked = |compromised| RotateAsked { compromised, ..names(&["KeystoneFernetKeys"]) };
    let gently = plan(&tripleo, &deployment, &asked(false)).unwrap();
    assert_eq!(gently.rotations[0].path, Path::Keyring);
    let failure = plan(&tripleo, &deployment, &asked(true)).unwrap_err();
    assert_eq!(failure.code, Exit::Refused);
    assert!(failure.hint.unwrap().contains("without `--compromised`"));
}
