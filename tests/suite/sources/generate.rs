//! Cases by chance: files that are mostly well-formed, in every corner of the dialect.

use super::{
    case::{Case, Declared, File, Given, Kind, Served},
    scene,
    words::{self, Chance, GROUPS, NAMES},
};

/// Whether cases may ask a Vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum With {
    /// They may not.
    Nothing,
    /// They do, by castellan.
    Vault,
}

/// The case of a seed.
pub(super) fn case(seed: u64, with: With) -> Case {
    let mut chance = Chance::new(seed);
    let mut case = Case { options: options(&mut chance), ..Case::default() };
    let chance = &mut chance;
    chance.referable = case
        .options
        .iter()
        .map(|option| match option.group.as_str() {
            "DEFAULT" => option.name.replace('-', "_"),
            group => format!("{group}.{}", option.name.replace('-', "_")),
        })
        .collect();
    let care = if chance.once_in(4) { Care::Little } else { Care::Much };
    let sources = match with {
        With::Vault => Some(1 + chance.below(2)),
        With::Nothing => chance.once_in(4).then(|| 1 + chance.below(2)),
    };
    let count = if chance.once_in(12) { 0 } else { 1 + chance.below(3) };
    for index in 0..count.max(usize::from(sources.is_some())) {
        let folder = chance.once_in(9);
        let name = if folder { format!("f{index}.d/{}.conf", chance.below(9)) } else { format!("f{index}.conf") };
        let mut content = ini(chance, &case.options, care);
        if let (0, Some(sources)) = (index, sources) {
            content += &configured(chance, &mut case, sources, with);
        }
        let content = mangled(chance, content, care);
        case.files.push(File { name, content: hex::encode(content) });
        case.arguments.push(if folder {
            Given::Folder(format!("f{index}.d"))
        } else {
            Given::File(format!("f{index}.conf"))
        });
    }
    for (index, option) in case.options.iter().enumerate().filter(|(_, option)| option.argument) {
        if chance.once_in(2) {
            let text = match matches!(option.r#type, Kind::Switch) || care == Care::Much {
                true => words::good(chance, &option.r#type),
                false => words::value(chance, &option.r#type).replace('\0', ""),
            };
            let at = chance.below(case.arguments.len() + 1);
            case.arguments.insert(at, Given::Option(index, text));
        }
    }
    for option in &case.options {
        if chance.once_in(5) {
            let mut text = words::value(chance, &option.r#type).replace('\0', "");
            if chance.once_in(5) {
                text = format!(" {text}\n");
            }
            let name = format!("OS_{}__{}", option.group, option.name.replace('-', "_")).to_uppercase();
            case.environment.push((name, hex::encode(text)));
        }
    }
    case
}

/// How carefully a file was written. Nothing of a file with one bad line is read, so most have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    Much,
    Little,
}

fn options(chance: &mut Chance) -> Vec<Declared> {
    let mut options: Vec<Declared> = Vec::new();
    for _ in 0..6 + chance.below(8) {
        let (group, name) = (*chance.of(&GROUPS[..4]), *chance.of(&NAMES));
        if options.iter().any(|o| o.group == group && o.name.replace('-', "_") == name.replace('-', "_")) {
            continue;
        }
        let kind = words::kind(chance);
        let multi = chance.once_in(6) && !matches!(kind, Kind::Switch);
        let default = words::default(chance, &kind).map(|text| vec![text]);
        let argument = chance.once_in(12);
        // Two options of one command line cannot have had the same name.
        let was = if argument { format!("{group}_{name}") } else { (*chance.of(&["a", "was"])).to_owned() };
        let former = if chance.once_in(6) { vec![("old".to_owned(), was)] } else { Vec::new() };
        let (group, name) = (group.to_owned(), name.to_owned());
        let default = default.filter(|_| !multi);
        options.push(Declared { group, name, r#type: kind, multi, argument, default, former });
    }
    options
}

/// A file.
fn ini(chance: &mut Chance, options: &[Declared], care: Care) -> String {
    let mut text = String::new();
    if chance.once_in(5) {
        text += "# a comment\n\n; another\n";
    }
    for _ in 0..1 + chance.below(4) {
        text += &section(chance, care);
        for _ in 0..chance.below(7) {
            text += &line(chance, options, care);
        }
    }
    text
}

fn section(chance: &mut Chance, care: Care) -> String {
    match chance.below(60) {
        0..=3 if care == Care::Much => "[g_1]\n".to_owned(),
        0 => "[]\n".to_owned(),
        1 => "[db\n".to_owned(),
        2 => "[ db ]\n".to_owned(),
        3 => "[db] # x\n".to_owned(),
        4 => "[default]\n".to_owned(),
        5 => "[[db]]\n".to_owned(),
        6 => "[DB] \t\n".to_owned(),
        7 => "[no such group]\n".to_owned(),
        8 => "[db]\u{a0}\n".to_owned(),
        9 => "[API]\n".to_owned(),
        _ => format!("[{}]\n", chance.of(&GROUPS)),
    }
}

fn line(chance: &mut Chance, options: &[Declared], care: Care) -> String {
    match chance.below(70) {
        0..=2 if care == Care::Much => return "# [no section]\n".to_owned(),
        0 => return "no assignment\n".to_owned(),
        1 => return "= x\n".to_owned(),
        2 => return "  # an indented comment goes on with a value\n".to_owned(),
        3..=5 => return "# comment = x\n".to_owned(),
        6..=8 => return "\n".to_owned(),
        9 => return " \t\n".to_owned(),
        10 => return "\u{b}a = 1\n".to_owned(),
        11 => return "\u{a0}a = 1\n".to_owned(),
        _ => {}
    }
    let option = chance.of(options);
    let key = match chance.below(24) {
        0 => option.name.clone(),
        1 => option.name.to_uppercase(),
        2 => "was".to_owned(),
        3 => "unknown".to_owned(),
        4 => "a b".to_owned(),
        _ => option.name.replace('-', "_"),
    };
    let between = *chance.of(&["=", " = ", " = ", ":", " : ", "\t=\t", "= "]);
    let value = words::value(chance, &option.r#type);
    let mut text = format!("{key}{between}{value}\n");
    while chance.once_in(8) {
        let indent = *chance.of(&[" ", "\t", "    ", " \u{a0}"]);
        text += &format!("{indent}{}\n", words::value(chance, &option.r#type));
    }
    if chance.once_in(12) {
        text.insert(text.len() - 1, ' ');
    }
    text
}

/// Odd line ends and odd bytes.
fn mangled(chance: &mut Chance, mut text: String, care: Care) -> Vec<u8> {
    match chance.below(14) {
        3..=4 if care == Care::Much => {}
        0 => text = text.replace('\n', "\r\n"),
        1 => text = text.replace('\n', "\r"),
        2 => text = text.trim_end().to_owned(),
        3 if chance.once_in(4) => text.insert(0, '\u{feff}'),
        4 if chance.once_in(4) => {
            let mut bytes = text.into_bytes();
            let at = chance.below(bytes.len() + 1);
            bytes.insert(at, *chance.of(&[0xff, 0xc3, 0x80, 0x00]));
            return bytes;
        }
        _ => {}
    }
    text.into_bytes()
}

/// `config_source` and the groups of its sources.
fn configured(chance: &mut Chance, case: &mut Case, count: usize, with: With) -> String {
    let names: Vec<String> = (0..count).map(|index| format!("source{index}")).collect();
    let mut list = names.join(if chance.once_in(2) { "," } else { " , " });
    if chance.once_in(20) {
        list += ",nowhere";
    }
    let mut text = String::new();
    if chance.once_in(8) {
        text += "[DEFAULT]\nconfig_source = overridden\n";
    }
    text += &format!("[DEFAULT]\nconfig_source = {list}\n");
    for name in &names {
        let castellan = with == With::Vault && !chance.once_in(4);
        text += &if castellan { castellan_group(chance, case, name) } else { remote_group(chance, case, name) };
    }
    text
}

fn remote_group(chance: &mut Chance, case: &mut Case, name: &str) -> String {
    let path = format!("/{name}.conf");
    let care = if chance.once_in(9) { Care::Little } else { Care::Much };
    let content = ini(chance, &case.options, care);
    let content = mangled(chance, content, care);
    let content_type = match chance.below(5) {
        0 => None,
        1 => Some("text/plain".to_owned()),
        2 => Some("application/octet-stream; charset=\"ISO-8859-1\"".to_owned()),
        _ => Some("text/plain; charset=utf-8".to_owned()),
    };
    // Without a type the original guesses: only what nobody can guess wrongly. With a control character it takes ASCII for UTF-16.
    let plain = content.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t'));
    let content = if content_type.is_none() && !plain { b"[DEFAULT]\na = 1\n".to_vec() } else { content };
    let status = if chance.once_in(20) { *chance.of(&[404, 500, 403]) } else { 200 };
    case.served.push(Served { path: path.clone(), status, content_type, content: hex::encode(content) });
    match chance.below(24) {
        0 => format!("[{name}]\nuri = @HTTP@{path}\n"),
        1 => format!("[{name}]\ndriver = remote_fil\nuri = @HTTP@{path}\n"),
        2 => format!("[{name}]\ndriver = remote_file\n"),
        3 => format!("[{name}]\ndriver = remote_file\nuri = nonsense\n"),
        4 => format!("[{name}]\ndriver = remote_file\nuri = @HTTP@{path}\ntimeout = soon\n"),
        5 => format!("[{name}]\ndriver =\nuri = @HTTP@{path}\n"),
        6 => format!("[{}]\nDRIVER = x\ndriver = remote_file\nuri = @HTTP@{path}\n", name.to_uppercase()),
        _ => format!("[{name}]\ndriver = remote_file\nuri = @HTTP@{path}\n"),
    }
}

fn castellan_group(chance: &mut Chance, case: &mut Case, name: &str) -> String {
    let settings = "[key_manager]\nbackend = vault\n[vault]\nkv_mountpoint = kv\nkv_path = d\nvault_url = @VAULT@\n\
                    ssl_ca_crt_file = @DIR@/ca.pem\n";
    let settings = match chance.below(16) {
        0 => format!("{settings}root_token_id = s.wrong\n"),
        1 => format!("{settings}approle_role_id = nobody\napprole_secret_id = nothing\n"),
        2 => format!("{settings}root_token_id = @TOKEN@\ntimeout = never\n"),
        3 => {
            let timeout = *chance.of(&["-1", "0", "-0.0", "nan", "inf", "-inf", "9.3e9", "1e400", "9.2e9", "9.5"]);
            format!("{settings}root_token_id = @TOKEN@\ntimeout = {timeout}\n")
        }
        _ => format!("{settings}root_token_id = @TOKEN@\n"),
    };
    let mut mapping = String::new();
    let broken = scene::broken_names();
    for option in &case.options {
        if !chance.once_in(3) {
            let group = if chance.once_in(9) { option.group.to_lowercase() } else { option.group.clone() };
            let secret = match chance.below(24) {
                0 => "absent".to_owned(),
                1 => String::new(),
                2 | 3 => chance.of(&broken).clone(),
                4 => "folder".to_owned(),
                _ => chance.of(&scene::SECRETS).0.to_owned(),
            };
            mapping += &format!("[{group}]\n{} = {secret}\n", option.name.replace('-', "_"));
        }
    }
    if chance.once_in(30) {
        mapping += "nonsense\n";
    }
    for (file, content) in [("conf", settings), ("map", mapping)] {
        let name = format!("{name}.{file}");
        if !chance.once_in(40) {
            case.files.push(File { name, content: hex::encode(content) });
        }
    }
    format!("[{name}]\ndriver = castellan\nconfig_file = @DIR@/{name}.conf\nmapping_file = @DIR@/{name}.map\n")
}
