//! What stands in a file besides the values that are taken: the store does not have it.

use super::{
    given::{Taken, is_nothing},
    yaml::{Kind, Node},
};
use std::collections::BTreeSet;

/// What a name leads to that has no names below it, with all names on the way.
pub(super) struct Leaf<'a> {
    pub(super) path: Vec<&'a str>,
    pub(super) node: &'a Node,
}

impl Leaf<'_> {
    /// The names on the way to it, as people write them.
    pub(super) fn name(&self) -> String {
        self.path.join(".")
    }
}

/// The names of all that is not taken, but for what is empty.
pub fn names(document: &Node, taken: &Taken) -> Vec<String> {
    leaves_untaken(document, taken).iter().map(Leaf::name).collect()
}

/// The names of what is not taken and does not stand in another document as it does here; each document with its text.
pub fn missing((text, document): (&str, &Node), (other_text, other): (&str, &Node), taken: &Taken) -> Vec<String> {
    let stands = |leaf: &Leaf<'_>| at(other, &leaf.path).iter().any(|node| same((text, leaf.node), (other_text, node)));
    leaves_untaken(document, taken).iter().filter(|leaf| !stands(leaf)).map(Leaf::name).collect()
}

fn leaves_untaken<'a>(document: &'a Node, taken: &Taken) -> Vec<Leaf<'a>> {
    let places: BTreeSet<usize> =
        taken.given.iter().flat_map(|given| &given.places).map(|(place, _)| place.start).collect();
    let is_taken = |node: &Node| matches!(&node.kind, Kind::Scalar(scalar) if places.contains(&scalar.place.start));
    leaves(document).into_iter().filter(|leaf| !is_taken(leaf.node) && !is_nothing(leaf.node)).collect()
}

pub(super) fn leaves(document: &Node) -> Vec<Leaf<'_>> {
    fn below<'a>(node: &'a Node, path: &mut Vec<&'a str>, found: &mut Vec<Leaf<'a>>) {
        match node.pairs() {
            None | Some([]) => found.push(Leaf { path: path.clone(), node }),
            Some(pairs) => {
                for (name, node) in pairs {
                    path.push(name);
                    below(node, path, found);
                    path.pop();
                }
            }
        }
    }
    let mut found = Vec::new();
    below(document, &mut Vec::new(), &mut found);
    found
}

/// What a path leads to; a name may stand twice.
pub(super) fn at<'a>(document: &'a Node, path: &[&str]) -> Vec<&'a Node> {
    path.iter().fold(vec![document], |nodes, name| {
        let below = nodes.into_iter().flat_map(|node| node.pairs().unwrap_or_default());
        below.filter(|(own, _)| own == name).map(|(_, node)| node).collect()
    })
}

/// Whether two nodes say the same: with the same characters, so that an alias is itself whatever it leads to, or otherwise written.
fn same((text, one): (&str, &Node), (other_text, other): (&str, &Node)) -> bool {
    let same = |one: &Node, other: &Node| same((text, one), (other_text, other));
    match (&one.kind, &other.kind) {
        (Kind::Scalar(one), Kind::Scalar(other)) => {
            let source = (text.get(one.place.clone()), other_text.get(other.place.clone()));
            source.0.is_some() && source.0 == source.1 || (&one.text, one.written) == (&other.text, other.written)
        }
        (Kind::Sequence(ones), Kind::Sequence(others)) => {
            ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| same(one, other))
        }
        (Kind::Mapping(ones), Kind::Mapping(others)) => {
            let has = |(name, one): &(String, Node)| others.iter().any(|(own, node)| own == name && same(one, node));
            ones.len() == others.len() && ones.iter().all(has)
        }
        (Kind::Scalar(_) | Kind::Sequence(_) | Kind::Mapping(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adopt::{Format, take, yaml};
    use donjon_policies::catalogue::Catalogue;

    const ORIGINAL: &str = "database_password: &db canary-1\nnova_ssh_key: {private_key: canary-2, public_key: canary-3}\n\
        site_vip: '{{ x }}'\nlist: [a, {b: \"c\"}, *db]\nempty:\nmine: {deep: {value: [1]}}\n";

    fn missing_in(other: &str) -> Vec<String> {
        let [document, now] = [ORIGINAL, other].map(|text| yaml::read(text).unwrap().unwrap());
        let catalogue = Catalogue::named("kolla-ansible").unwrap();
        let taken = take(&document, Format::Kolla, &catalogue, &[]).unwrap();
        assert_eq!(names(&document, &taken), ["site_vip", "list", "mine.deep.value"]);
        missing((ORIGINAL, &document), (other, &now), &taken)
    }

    #[test]
    fn what_is_not_taken_stands_in_the_other_file_or_is_told() {
        let rest = "site_vip: '{{ x }}'\nlist: [a, {b: \"c\"}, *db]\nmine: {deep: {value: [1]}}\n";
        let other = format!("database_password: &db \"{{{{ lookup('x') }}}}\"\nadded: 1\n{rest}");
        assert_eq!(missing_in(&other), [""; 0], "what is taken or empty may go");
        // Written otherwise, and in another order.
        let other = format!("mine:\n  deep:\n    value: [ 1 ]\n{}", other.replace("mine: {deep: {value: [1]}}\n", ""));
        assert_eq!(missing_in(&other), [""; 0]);
        assert_eq!(missing_in("added: 1\n"), ["site_vip", "list", "mine.deep.value"]);
        for (from, to, name) in [
            ("{{ x }}", "{{ y }}", "site_vip"),
            ("'{{ x }}'", "!unsafe '{{ x }}'", "site_vip"),
            ("{b: \"c\"}", "{b: d}", "list"),
            ("*db]", "b]", "list"),
            ("value: [ 1 ]", "value: [ 1, 2 ]", "mine.deep.value"),
            ("  deep:", "  deeper:", "mine.deep.value"),
        ] {
            assert_eq!(missing_in(&other.replace(from, to)), [name], "{to}");
        }
    }
}
