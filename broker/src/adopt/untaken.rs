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
