//! Files that tasks read with `lookup('file', …)`: Ansible does not evaluate these, so that plugin of ours must read them.

/// The names of the files that the calls in a Jinja text may read: the last segment of each literal that looks like a file's name.
pub fn files_read(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for call in calls(text) {
        for literal in literals(&text[call.arguments..]) {
            let name = literal.rsplit('/').next().unwrap_or_default();
            if name.contains('.') && !name.contains(char::is_whitespace) {
                names.push(name.to_owned());
            }
        }
    }
    names
}

/// The text with every such call made to our plugin, and how many there were. Nothing else changes.
pub fn turned(text: &str) -> (String, usize) {
    let mut turned = String::with_capacity(text.len());
    let mut at = 0;
    let mut count = 0;
    for call in calls(text) {
        turned.push_str(&text[at..call.plugin.start]);
        turned.push_str(PLUGIN);
        at = call.plugin.end;
        count += 1;
    }
    turned.push_str(&text[at..]);
    (turned, count)
}

struct Call {
    /// Where the plugin's name stands, without its quotes.
    plugin: std::ops::Range<usize>,
    /// Where the arguments begin.
    arguments: usize,
}

fn calls(text: &str) -> Vec<Call> {
    let mut found = Vec::new();
    for (start, word) in FUNCTIONS.iter().flat_map(|word| text.match_indices(word)) {
        let alone = !text[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if let Some(call) = call(text, start + word.len()).filter(|_| alone) {
            found.push(call);
        }
    }
    found.sort_by_key(|call| call.arguments);
    found
}

fn call(text: &str, after: usize) -> Option<Call> {
    let inside = text[after..].trim_start().strip_prefix('(')?.trim_start();
    let quote = inside.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (name, rest) = inside[1..].split_once(quote)?;
    let comma = rest.trim_start().strip_prefix(',')?;
    let start = text.len() - inside.len() + 1;
    matches!(name, "file" | "ansible.builtin.file")
        .then(|| Call { plugin: start..start + name.len(), arguments: text.len() - comma.len() })
}

/// The string literals up to the parenthesis that closes the call.
fn literals(text: &str) -> Vec<String> {
    let mut literals = Vec::new();
    let mut depth = 1;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            '\'' | '"' => literals.push(characters.by_ref().take_while(|next| *next != c).collect()),
            _ => {}
        }
    }
    literals
}

const FUNCTIONS: [&str; 3] = ["lookup", "query", "q"];
const PLUGIN: &str = "donjon.broker.file";

#[cfg(test)]
mod tests {
    use super::*;

    const TRIPLEO: &str = "{{ lookup('file', (tripleo_role_name + '/docker_config.yaml'), errors='ignore') | default({}, True) | from_yaml }}";

    #[test]
    fn the_calls_of_tripleo_are_known() {
        assert_eq!(files_read(TRIPLEO), ["docker_config.yaml"]);
        assert_eq!(turned(TRIPLEO), (TRIPLEO.replace("'file'", "'donjon.broker.file'"), 1));
        assert_eq!(turned(&turned(TRIPLEO).0).1, 0);
        assert_eq!(
            files_read("{{ query( \"ansible.builtin.file\" , 'a/b.pp', 'c.sh') }}{{ lookup ('file', x) }}"),
            ["b.pp", "c.sh"]
        );
    }

    #[test]
    fn other_calls_are_left_alone() {
        for text in [
            "{{ lookup('env', 'x.y') }}",
            "{{ my_lookup('file', 'x.y') }}",
            "lookup",
            "lookup('file'",
            "lookup('file')",
            "q(é",
        ] {
            assert_eq!(turned(text), (text.to_owned(), 0));
            assert!(files_read(text).is_empty());
        }
    }
}
