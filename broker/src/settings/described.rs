//! The deployment file's own options as they describe themselves, beside what the drivers say of theirs: the sample is made
//! from it, and where each option comes from is told by it.

/// An option of the deployment file that no driver has.
#[derive(Debug)]
pub struct Own {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// What holds where it is not given.
    pub usual: Usual,
    /// What it is for, in one line.
    pub help: &'static str,
}

/// What an option holds; with examples as they would stand in the file.
#[derive(Debug)]
pub enum Shape {
    /// Text such as this.
    Text(&'static str),
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Words such as these.
    List(&'static str),
    /// Names and a text for each, such as this line.
    Texts(&'static str),
    /// A map with these options, such as these lines.
    One(&'static [Own], &'static str),
    /// Maps with these options each, by name or in a list, such as these lines.
    Many(&'static [Own], &'static str),
    /// Things by name, each opened by a driver that says what else it has.
    Part(&'static [Own]),
}

/// What holds where an option is not given.
#[derive(Debug)]
pub enum Usual {
    /// It must be given.
    Required,
    /// Nothing.
    Nothing,
    /// This number.
    Number(i64),
    /// This text.
    Text(&'static str),
    /// This.
    Switch(bool),
}

/// The file's own options, in the order of a sample.
pub const FILE: &[Own] = &[
    required("deployment", Shape::Text("site1"), "the folder of this deployment's secrets in the store"),
    text("catalogue", "kolla-ansible", "kolla-ansible, tripleo, openstack-ansible, or the path of a file"),
    number("keep_previous", 7, "how long the previous value is kept after a rotation, in days"),
    number(
        "drain",
        60,
        "how long sessions from before the restarts may stay before a rotation says that it waits for them, in seconds",
    ),
    number(
        "trial",
        30,
        "how long knocks with an old value are watched for once it is refused, in seconds, where a node names its log",
    ),
    number(
        "read_lease",
        2,
        "how long a value that was read may be answered without a look at the store, in seconds; 0 for never",
    ),
    optional(
        "inventory",
        Shape::One(INVENTORY, "file: /etc/kolla/multinode\n# dynamic: true"),
        "an Ansible inventory whose hosts are hosts here too; `inventory: FILE` is enough",
    ),
    part("hosts", HOST, "where commands run; `local` is always there"),
    part("targets", TARGET, "servers that accept credentials"),
    part("services", SERVICE, "what restarts, and which secrets and views it reads"),
    part("keyrings", &[], "repositories of keys on several nodes, by the secret that holds them"),
    optional(
        "views",
        Shape::Texts(
            "keystone.database.connection: \"mysql+pymysql://keystone:{keystone_database_password:url}@10.0.0.11/keystone\"",
        ),
        "values assembled from secrets: `{secret}`, or `{secret:url}` percent-encoded",
    ),
    optional(
        "strategies",
        Shape::Texts("keystone_admin_password: cutover"),
        "secrets that change here otherwise than the catalogue says",
    ),
    optional(
        "roles",
        Shape::Many(
            ROLE,
            "compute: {reads: [keystone.database.connection]}\n\
             keystone: {reads: [keystone.database.connection], users: [keystone], units: [keystone.service]}",
        ),
        "who may read what: nodes that get a bundle of it, and here the users and units that ask at the lookup socket",
    ),
    optional(
        "lookup_socket",
        Shape::Text("/run/donjon/lookup.sock"),
        "where the users of roles ask; /run/donjon/lookup.sock where a role has users and nothing is said",
    ),
    optional(
        "sites",
        Shape::Many(SITE, "edge1: {roles: [compute], recipients: [age1…]}"),
        "edge sites and the overcloud, and who can open their bundles",
    ),
    optional(
        "schedules",
        Shape::One(
            SCHEDULES,
            "automatic: false\n\
             freezes: [{first: 2026-12-20, last: 2027-01-04}]\n\
             rules:\n\
             \u{20} - {secrets: [database_password], max_age: 30d, window: 'sat sun 22:00-04:00'}\n\
             \u{20} - {classes: [keystone-user], max_age: 90d, jitter: 14d, accept_outage: true}\n\
             \u{20} - {max_age: 180d, jitter: 30d}",
        ),
        "when secrets are to change; the first rule that fits a secret holds; days and hours are UTC",
    ),
    optional(
        "notifications",
        Shape::Many(
            NOTIFICATION,
            "- {name: operations, webhook: 'https://hooks.example/donjon', on: [failed, overdue, waiting, straggler]}\n\
             - {name: databases, command: [/usr/local/bin/page, database], secrets: ['*_database_password']}",
        ),
        "who is told how rotations go, by JSON without values",
    ),
    optional(
        "metrics",
        Shape::Text("/var/lib/node_exporter/donjon.prom"),
        "the file that node_exporter reads; metrics.prom in DONJON_HOME where none is named",
    ),
];

/// Options that every host has.
pub const HOST: &[Own] = &[optional(
    "addresses",
    Shape::List("[10.0.0.11]"),
    "the addresses that servers see its sessions come from; how it is reached where none is given",
)];

/// Options that every target has.
pub const TARGET: &[Own] = &[optional(
    "administrator",
    Shape::One(ADMINISTRATOR, "user: root\nsecret: database_password"),
    "who changes accounts there; what the catalogue has for such a server where nothing is said",
)];

/// Options that every service has.
pub const SERVICE: &[Own] = &[
    optional("hosts", Shape::List("[local]"), "the hosts it runs on; the deployment host where none is named"),
    number("order", 0, "lower ones restart first"),
    optional("after", Shape::List("[other]"), "services that are restarted everywhere before it"),
    number("batch", 1, "how many hosts restart at once, once the first one is well by itself"),
    switch("canary", true, "whether its first host restarts alone, before any batch"),
    optional("quorum_group", Shape::Text("name"), "services of one group are never restarted two at once"),
    optional("uses", Shape::List("[database_password]"), "the secrets and views that it reads"),
    number("settle", 60, "how long it may take to be well again after a restart, in seconds"),
    text(
        "proof",
        "session",
        "what proves that it runs on a new value: session, one that began since; check, that alone; start, where no target tells of sessions",
    ),
    optional(
        "fed",
        Shape::Text("database_password"),
        "the secret that its check reads on standard input; it is believed only where it fails on a wrong one",
    ),
];

const ADMINISTRATOR: &[Own] = &[
    required("user", Shape::Text("root"), "its user"),
    required("secret", Shape::Text("database_password"), "the secret with its password"),
];

const INVENTORY: &[Own] = &[
    required("file", Shape::Text("/etc/kolla/multinode"), "the inventory: a file or a folder"),
    text("program", "ansible-inventory", "the program that reads it"),
    switch(
        "dynamic",
        false,
        "whether it may be a program itself, or the configuration of a plugin: reading it runs it then",
    ),
];

const ROLE: &[Own] = &[
    required("reads", Shape::List("[database_password]"), "the secrets and views"),
    optional("users", Shape::List("[keystone]"), "the users of this host who read them at the lookup socket"),
    optional("groups", Shape::List("[keystone]"), "the groups whose processes read them there"),
    optional(
        "units",
        Shape::List("[keystone.service]"),
        "where there are any, only from these systemd units or container scopes",
    ),
];

const SITE: &[Own] = &[
    required("roles", Shape::List("[compute]"), "the roles whose secrets it gets"),
    required("recipients", Shape::List("[age1…]"), "the age recipients of its nodes"),
];

const SCHEDULES: &[Own] = &[
    switch(
        "automatic",
        false,
        "whether the daemon rotates what is due by itself; else `donjon rotate apply --due` does",
    ),
    text("every", "10m", "how often the daemon looks"),
    text("again", "1d", "for how long a secret whose rotation went back is left alone"),
    optional("freezes", Shape::Many(DAYS, ""), "days on which nothing changes"),
    optional("rules", Shape::Many(RULE, ""), "the rules"),
];

const DAYS: &[Own] = &[
    required("first", Shape::Text("2026-12-20"), "the first day"),
    required("last", Shape::Text("2026-12-20"), "the last day"),
];

const RULE: &[Own] = &[
    optional("secrets", Shape::List("[database_password]"), "secrets by name or pattern"),
    optional("classes", Shape::List("[keystone-user]"), "secrets of these sorts; all where neither is given"),
    optional("max_age", Shape::Text("30d"), "the age at which they are due; without one, never by themselves"),
    optional("window", Shape::Text("'sat sun 22:00-04:00'"), "the hours in which they may change"),
    text("jitter", "0s", "up to this much earlier than `max_age`, by name"),
    optional("freezes", Shape::Many(DAYS, ""), "more days on which these do not change"),
    switch("accept_outage", false, "whether they are rotated where that has an outage"),
];

const NOTIFICATION: &[Own] = &[
    required("name", Shape::Text("operations"), "who; it is part of what is told"),
    optional("webhook", Shape::Text("https://hooks.example/donjon"), "an address that gets JSON by HTTP POST"),
    optional(
        "command",
        Shape::List("[/usr/local/bin/page, database]"),
        "a program on this host that reads JSON on standard input",
    ),
    optional(
        "on",
        Shape::List("[failed]"),
        "of which happenings: done, failed, waiting, straggler, overdue; of all where none is given",
    ),
    optional(
        "secrets",
        Shape::List("['*_database_password']"),
        "of which secrets, by name or pattern; of all where none is given",
    ),
];

const fn optional(name: &'static str, shape: Shape, help: &'static str) -> Own {
    Own { name, shape, usual: Usual::Nothing, help }
}

const fn required(name: &'static str, shape: Shape, help: &'static str) -> Own {
    Own { name, shape, usual: Usual::Required, help }
}

const fn number(name: &'static str, usual: i64, help: &'static str) -> Own {
    Own { name, shape: Shape::Number, usual: Usual::Number(usual), help }
}

const fn switch(name: &'static str, usual: bool, help: &'static str) -> Own {
    Own { name, shape: Shape::Switch, usual: Usual::Switch(usual), help }
}

const fn text(name: &'static str, usual: &'static str, help: &'static str) -> Own {
    Own { name, shape: Shape::Text(usual), usual: Usual::Text(usual), help }
}

const fn part(name: &'static str, own: &'static [Own], help: &'static str) -> Own {
    optional(name, Shape::Part(own), help)
}
