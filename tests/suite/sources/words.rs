//! What generated configurations are made of: names, values that nearly fit a type, and odd ones.

use super::case::Kind;

/// Chance with a seed, the same on every machine (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Chance {
    state: u64,
    /// The options that values may refer to, as they do.
    pub(super) referable: Vec<String>,
}

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed, referable: Vec::new() }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    /// True once in so many.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

pub(super) const GROUPS: [&str; 5] = ["DEFAULT", "db", "Api", "g_1", "old"];
pub(super) const NAMES: [&str; 10] = ["a", "b", "c", "url", "my-opt", "my_host", "items", "Caps", "x1", "debug"];

const TEXTS: [&str; 26] = [
    "value",
    "x",
    "two words",
    "a=b",
    "a:b",
    "#hash",
    "a # b",
    "a;b",
    "'quoted'",
    "\"quoted\"",
    "'odd\"",
    "\"",
    "''",
    "",
    "%(a)s",
    "100%",
    "grüße",
    "✓ ok",
    "\\",
    "\\n",
    "back\\\\slash",
    "[x]",
    "{y}",
    "None",
    "trail\\",
    "nb\u{a0}sp",
];
const REFERENCES: [&str; 24] = [
    "$a",
    "${a}",
    "$b/$c",
    "$$a",
    "\\$a",
    "$db.a",
    "${db.url}",
    "$Api.a",
    "$api.a",
    "$DEFAULT.a",
    "$my_opt",
    "$my-opt",
    "$nosuch",
    "$no.such",
    "$",
    "$5",
    "${",
    "${a",
    "${a b}",
    "$db.",
    "$a.b.c",
    "x${b}y${c}z",
    "$items",
    "\\\\$a",
];
const NUMBERS: [&str; 22] = [
    "0",
    "1",
    "42",
    "-1",
    "+7",
    "007",
    "65535",
    "65536",
    "1_000",
    "1__0",
    "_1",
    "0x10",
    "1e3",
    "1.5",
    ".5",
    "5.",
    "-0",
    "99999999999999999999999",
    "1e400",
    "nan",
    "-Infinity",
    "1 0",
];
const SWITCHES: [&str; 14] =
    ["true", "True", "TRUE", "false", "0", "1", "on", "Off", "yes", "NO", "2", "t", "y", "truee"];
const LISTS: [&str; 16] = [
    "a,b", "a, b , c", "a,,b", ",a", "a,", "a,,", ",", "[a,b]", "[a, b", "[]", "[ ]", "1,2,3", "1,x", "'a,b',c",
    "\"a,b\"", "[1,2],",
];
const MAPS: [&str; 15] = [
    "k:v",
    "k:v,l:w",
    "k:v,k:w",
    "k : v , l:w",
    ":v",
    "k:",
    "k",
    "k:v,",
    "k:a,b",
    "k:1,l:2",
    "{k:v}",
    "{k:v",
    "k:v:w",
    "{}",
    "k:1,l:x",
];
const ADDRESSES: [&str; 20] = [
    "127.0.0.1",
    "10.0.0.256",
    "1.2.3",
    "01.2.3.4",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:1.2.3.4",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7::",
    "1::2::3",
    "12345::",
    "localhost",
    "a.example.",
    "a_b.example",
    "-a",
    "a-",
    "1.2.3.x",
    "x.1",
    "İx.Kk",
];
const URIS: [&str; 26] = [
    "http://a",
    "https://h:5000/v3",
    "http://h:",
    "http://h:123456",
    "ftp://u:p@h/x",
    "http://",
    "http:/x",
    "mailto:x",
    "http://[::1]:80/",
    "http://[::1",
    "http://[v1.x]",
    "http://[fe80::1%25e]",
    "http://[fe80::1%e]",
    "http://256.1.1.1",
    "http://é",
    "http://h/é x?y#z",
    "http://h/[x]",
    "http://u@v@h",
    "http://@h",
    "1a://h",
    "a+b://h",
    "http://h%41",
    "http://h%4",
    "http://h\\x",
    "http://[1::2]8",
    "rabbit://u:p@h1:1,u:p@h2:2//",
];

/// A text for an option of a type: mostly one that nearly fits.
pub(super) fn value(chance: &mut Chance, kind: &Kind) -> String {
    if chance.once_in(9) {
        return soup(chance);
    }
    if chance.once_in(6) {
        if chance.once_in(3) || chance.referable.is_empty() {
            return (*chance.of(&REFERENCES)).to_owned();
        }
        let at = chance.below(chance.referable.len());
        let name = &chance.referable[at];
        return format!("${{{name}}}");
    }
    let fitting = match kind {
        _ if chance.once_in(8) => chance.of(&TEXTS),
        Kind::Text { .. } => chance.of(&TEXTS),
        Kind::Switch => chance.of(&SWITCHES),
        Kind::Integer { .. } | Kind::Float { .. } => chance.of(&NUMBERS),
        Kind::List { .. } => chance.of(&LISTS),
        Kind::Map { .. } => chance.of(&MAPS),
        Kind::Address { .. } | Kind::Hostname | Kind::Host | Kind::Domain => chance.of(&ADDRESSES),
        Kind::Uri { .. } => chance.of(&URIS),
    };
    (*fitting).to_owned()
}

/// A text that fits a type.
pub(super) fn good(chance: &mut Chance, kind: &Kind) -> String {
    let fitting: &[&str] = match kind {
        Kind::Text { choices, .. } if !choices.is_empty() => &["value"],
        Kind::Text { .. } => &["x", "", "y $ z", "é"],
        Kind::Switch => &["True", "False"],
        Kind::Integer { .. } | Kind::Float { .. } => &["0", " 1_0 ", ""],
        Kind::List { bounds: true, .. } => &["[]", "[1,2]"],
        Kind::List { .. } => &["", "1,2"],
        Kind::Map { bounds: true, .. } => &["{}"],
        Kind::Map { .. } => &["", "k:1"],
        Kind::Address { version: Some(6) } => &["::1"],
        Kind::Address { .. } => &["10.0.0.1"],
        Kind::Hostname | Kind::Host | Kind::Domain => &["h.example", "h."],
        Kind::Uri { .. } => &["http://h"],
    };
    (*chance.of(fitting)).to_owned()
}

/// A few characters that mean something to some part of the reader.
fn soup(chance: &mut Chance) -> String {
    const CHARACTERS: [&str; 40] = [
        "a", "b", "1", "2", "0", "$", "{", "}", "[", "]", "(", ")", "%", "'", "\"", ",", ":", "=", ";", "#", "\\", "/",
        "@", "-", "_", ".", " ", "\t", "+", "é", "\u{85}", "\u{a0}", "\u{1c}", "\u{2028}", "\u{b}", "\u{0}", "K", "ſ",
        "~", "$a",
    ];
    (0..chance.below(9)).map(|_| *chance.of(&CHARACTERS)).collect()
}

/// A type.
pub(super) fn kind(chance: &mut Chance) -> Kind {
    let item = |chance: &mut Chance| {
        Box::new(match chance.below(5) {
            0 => Kind::Integer { min: None, max: None },
            1 => Kind::Text { choices: Vec::new(), ignore_case: false, quotes: true, longest: None },
            2 => Kind::Map { value: Box::new(Kind::text()), bounds: true },
            _ => Kind::text(),
        })
    };
    match chance.below(18) {
        0..=3 => Kind::text(),
        4 => Kind::Text {
            choices: vec!["value".into(), "X".into(), "grüße".into()],
            ignore_case: chance.once_in(2),
            quotes: false,
            longest: None,
        },
        5 => Kind::Text { choices: Vec::new(), ignore_case: false, quotes: true, longest: Some(chance.below(8)) },
        6 => Kind::Switch,
        7 => Kind::Integer { min: None, max: None },
        8 => Kind::Integer { min: Some(0), max: Some(65535) },
        9 => Kind::Float { min: None, max: None },
        10 => Kind::Float { min: Some(-0.5), max: Some(50.0) },
        11 | 12 => Kind::List { item: item(chance), bounds: chance.once_in(3) },
        13 => Kind::Map { value: item(chance), bounds: chance.once_in(3) },
        14 => Kind::Address { version: *chance.of(&[None, Some(4), Some(6)]) },
        15 => Kind::Hostname,
        16 => match chance.below(2) {
            0 => Kind::Host,
            _ => Kind::Domain,
        },
        _ => Kind::Uri {
            schemes: if chance.once_in(2) { vec!["http".into(), "https".into()] } else { Vec::new() },
            longest: if chance.once_in(3) { Some(12) } else { None },
        },
    }
}

/// A default that fits a type: the original refuses to declare another.
pub(super) fn default(chance: &mut Chance, kind: &Kind) -> Option<String> {
    if chance.once_in(2) {
        return None;
    }
    if chance.once_in(3) {
        return Some((*chance.of(&["$a", "${b}x", "$db.a", "$$", "$nosuch"])).to_owned()).filter(|text| text != "$$");
    }
    match kind {
        Kind::Text { choices, .. } if choices.is_empty() => Some("d".to_owned()),
        Kind::Text { choices, .. } => choices.first().cloned(),
        Kind::Switch => Some("True".to_owned()),
        Kind::Integer { .. } | Kind::Float { .. } => Some("7".to_owned()),
        Kind::Address { version: Some(6) } => Some("::1".to_owned()),
        Kind::Address { .. } | Kind::Host | Kind::Domain => Some("127.0.0.1".to_owned()),
        Kind::Hostname => Some("h".to_owned()),
        Kind::Uri { .. } => Some("http://d".to_owned()),
        Kind::List { .. } | Kind::Map { .. } => None,
    }
}
