//! How the deployers' own practice was written down, and which strategy each phrase means here.
//!
//! [`SURVEYED`] holds the phrases as they stand in the raw lists of kolla-ansible and TripleO. A phrase is one or more
//! parts split by `;`, each with notes in parentheses; [`MEANINGS`] has one line per part without its notes. A phrase
//! that is not covered stops the build.

use crate::strategy::Strategy;

/// What a surveyed phrase means: one strategy per part, in order. `None` when a part is not in [`MEANINGS`].
pub fn meaning(phrase: &str) -> Option<Vec<Strategy>> {
    let part = |part: &str| {
        let bare = without_notes(part);
        MEANINGS.iter().find(|(text, _)| *text == bare).map(|(_, strategy)| *strategy)
    };
    phrase.split(';').map(part).collect()
}

fn without_notes(part: &str) -> String {
    let mut depth = 0_u32;
    let mut bare = String::new();
    for c in part.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => bare.push(c),
            _ => {}
        }
    }
    bare.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The parts that occur, without notes, and what they mean.
pub const MEANINGS: &[(&str, Strategy)] = &[
    ("db:dual-slot", Strategy::DualPassword),
    ("db:dual-slot + cell mapping rewrite", Strategy::DualPassword),
    ("db:dual-slot on every root account, login with OLD", Strategy::DualPassword),
    ("db:dual-slot on EACH root account, authenticated with the OLD password or unix socket", Strategy::DualPassword),
    ("redis>=6 ACL allows dual", Strategy::DualPassword),
    ("dual-user", Strategy::DualUser),
    ("ceph-auth", Strategy::DualUser),
    ("append-then-prune", Strategy::Keyring),
    ("append-then-reencrypt-then-prune", Strategy::Keyring),
    // The old key stays good for the amphorae that have it, and dies with the last of them.
    ("set-for-new-amphorae", Strategy::Keyring),
    ("keystone:set-then-restart", Strategy::Cutover),
    ("set-then-restart", Strategy::Cutover),
    ("set-then-restart-pairwise", Strategy::Cutover),
    ("set-then-distribute", Strategy::Cutover),
    ("set-then-reload", Strategy::Cutover),
    ("set-in-place", Strategy::Cutover),
    ("flip-together", Strategy::Together),
    ("flip-together + flush_all", Strategy::Together),
    ("flip-together or fallback key", Strategy::Together),
    ("operator", Strategy::Operator),
    ("reencrypt-offline", Strategy::Operator),
    ("reencrypt CA key file", Strategy::Operator),
    ("reencrypt CA key file then flip", Strategy::Operator),
    ("reencrypt then flip", Strategy::Operator),
    ("amphora-by-amphora", Strategy::Operator),
    ("cluster-maintenance", Strategy::Operator),
    ("cluster-stop", Strategy::Operator),
    ("immutable", Strategy::Never),
    ("immutable-after-bootstrap", Strategy::Never),
    ("import-only", Strategy::Never),
    // Nothing reads it, so there is nothing to change over.
    ("none", Strategy::Never),
];

/// Every phrase of the raw lists.
pub const SURVEYED: &[&str] = &[
    "amphora-by-amphora",
    "append-then-prune",
    "append-then-prune (authorized_keys)",
    "append-then-prune (staged key promotion)",
    "append-then-reencrypt-then-prune",
    "ceph-auth (second client id, then switch)",
    "cluster-maintenance",
    "cluster-stop",
    "db:dual-slot",
    "db:dual-slot + cell mapping rewrite",
    "db:dual-slot on EACH root account, authenticated with the OLD password or unix socket",
    "db:dual-slot on every root account, login with OLD",
    "db:dual-slot; keystone:set-then-restart (or app-credential dual)",
    "dual-user",
    "dual-user (create new rabbit user, switch transport_url, delete old)",
    "flip-together",
    "flip-together (bind accepts several keys)",
    "flip-together (or real SECRET_KEY_FALLBACKS)",
    "flip-together (sessions lost) or fallback key",
    "flip-together + flush_all",
    "immutable",
    "immutable-after-bootstrap",
    "import-only",
    "none",
    "operator",
    "reencrypt (CA key file) then flip",
    "reencrypt CA key file",
    "reencrypt CA key file then flip",
    "reencrypt-offline",
    "set-for-new-amphorae",
    "set-in-place",
    "set-then-distribute",
    "set-then-reload",
    "set-then-restart",
    "set-then-restart (ACL allows dual)",
    "set-then-restart (or app-credential dual)",
    "set-then-restart (requirepass+masterauth) ; redis>=6 ACL allows dual",
    "set-then-restart-pairwise",
];

const _: () = assert!(unmapped() == SURVEYED.len(), "a phrase of SURVEYED has a part that MEANINGS does not map");

/// The index of the first phrase that is not mapped, while compiling; the number of phrases when all are.
const fn unmapped() -> usize {
    let mut at = 0;
    while at < SURVEYED.len() {
        if !covered(SURVEYED[at].as_bytes()) {
            return at;
        }
        at += 1;
    }
    at
}

const fn covered(phrase: &[u8]) -> bool {
    let (mut from, mut at) = (0, 0);
    while at <= phrase.len() {
        if at == phrase.len() || phrase[at] == b';' {
            let (mut line, mut found) = (0, false);
            while line < MEANINGS.len() {
                found |= says(phrase, from, at, MEANINGS[line].0.as_bytes());
                line += 1;
            }
            if !found {
                return false;
            }
            from = at + 1;
        }
        at += 1;
    }
    true
}

/// Whether `phrase[from..to]`, notes taken out and blanks run together, reads `wanted`.
const fn says(phrase: &[u8], from: usize, to: usize, wanted: &[u8]) -> bool {
    let (mut at, mut matched, mut depth, mut blank) = (from, 0, 0_u32, false);
    while at < to {
        let byte = phrase[at];
        at += 1;
        if byte == b'(' {
            depth += 1;
        } else if byte == b')' {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && byte == b' ' {
            blank = matched > 0;
        } else if depth == 0 {
            if blank {
                if matched >= wanted.len() || wanted[matched] != b' ' {
                    return false;
                }
                matched += 1;
                blank = false;
            }
            if matched >= wanted.len() || wanted[matched] != byte {
                return false;
            }
            matched += 1;
        }
    }
    matched == wanted.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_while_compiling_agrees_with_the_look_up() {
        let others = ["", ";", "dual-user;", "dual-user ; none", "flip-together (a) or  fallback key (b)", "Dual-user"];
        for phrase in SURVEYED.iter().chain(&others) {
            assert_eq!(covered(phrase.as_bytes()), meaning(phrase).is_some(), "{phrase:?}");
        }
        assert!(!covered(b"set-then-pray"), "an unmapped phrase is seen");
    }

    #[test]
    fn a_phrase_of_two_parts_has_two_meanings() {
        assert_eq!(
            meaning("db:dual-slot; keystone:set-then-restart (or app-credential dual)"),
            Some(vec![Strategy::DualPassword, Strategy::Cutover])
        );
    }

    #[test]
    fn every_meaning_is_used() {
        let said: Vec<String> = SURVEYED.iter().flat_map(|phrase| phrase.split(';')).map(without_notes).collect();
        for (text, _) in MEANINGS {
            assert!(said.iter().any(|part| part == text), "{text:?} maps nothing");
        }
    }
}
