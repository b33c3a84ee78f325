//! Many needles in gigabytes of memory: most places are stepped over, several bytes at a time.
//!
//! The method is Wu and Manber's: of three bytes of the text, a table says how far away the next needle's beginning can
//! be. Where one may begin, it is compared with the few needles that have the same first bytes.

use super::{
    encoding::{Encoding, Form, SHORTEST, in_memory},
    needles::{Standing, Wanted, inner, pieces},
};
use donjon_policies::name::SecretName;

/// The needles and the table. Their bytes are as secret as the values, and wiped with them.
pub struct Sieve {
    /// How far one may step, by three bytes of the text; 0 where a needle may begin.
    steps: Vec<u8>,
    /// How much of each needle the table knows.
    known: usize,
    /// In the order of their bytes.
    needles: Vec<Needle>,
    pub(super) owners: Vec<(SecretName, Standing)>,
    pub(super) longest: usize,
}

struct Needle {
    bytes: Form,
    owner: usize,
    encoding: Encoding,
}

/// A needle in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Caught {
    /// Where its first byte is.
    pub at: usize,
    /// Whose value: an index into the owners.
    pub owner: usize,
    /// How it is written.
    pub encoding: Encoding,
}

impl Sieve {
    /// Of every form that a value has in the memory of a process.
    pub fn new(wanted: &[Wanted]) -> Self {
        let mut needles = Vec::new();
        for (owner, wanted) in wanted.iter().enumerate() {
            for value in inner(&wanted.material) {
                let bytes = value.expose(); // EXPOSE: made into forms that are wiped
                for (encoding, bytes) in pieces(bytes).into_iter().flat_map(in_memory) {
                    needles.push(Needle { bytes, owner, encoding });
                }
            }
        }
        needles.sort_unstable_by(|a, b| a.bytes.cmp(&b.bytes));
        let lengths = || needles.iter().map(|needle| needle.bytes.len());
        let known = lengths().min().unwrap_or(SHORTEST).min(MOST_KNOWN);
        let mut steps = vec![u8::try_from(known - BLOCK + 1).unwrap_or(1); 1 << BITS];
        for needle in &needles {
            for (at, block) in needle.bytes[..known].windows(BLOCK).enumerate() {
                let step = &mut steps[slot(block[0], block[1], block[2])];
                *step = (*step).min(u8::try_from(known - BLOCK - at).unwrap_or(0));
            }
        }
        let (longest, owners) = (lengths().max().unwrap_or(0), wanted.iter());
        let owners = owners.map(|wanted| (wanted.name.clone(), wanted.standing)).collect();
        Self { steps, known, needles, owners, longest }
    }

    /// Tells every needle in a text.
    pub(super) fn search(&self, text: &[u8], tell: &mut dyn FnMut(Caught)) {
        if self.needles.is_empty() {
            return;
        }
        // As plain as it is, since it runs over gigabytes: also where nothing was optimised.
        let (steps, mut end) = (self.steps.as_slice(), self.known);
        while end <= text.len() {
            let step = steps[slot(text[end - 3], text[end - 2], text[end - 1])];
            if step > 0 {
                end += step as usize;
            } else {
                self.compare(text, end - self.known, tell);
                end += 1;
            }
        }
    }

    fn compare(&self, text: &[u8], at: usize, tell: &mut dyn FnMut(Caught)) {
        let begin = &text[at..at + SHORTEST];
        let first = self.needles.partition_point(|needle| &needle.bytes[..SHORTEST] < begin);
        for needle in self.needles[first..].iter().take_while(|needle| &needle.bytes[..SHORTEST] == begin) {
            if text[at..].starts_with(&needle.bytes) {
                tell(Caught { at, owner: needle.owner, encoding: needle.encoding });
            }
        }
    }
}

fn slot(a: u8, b: u8, c: u8) -> usize {
    ((a as usize) << 10 ^ (b as usize) << 5 ^ c as usize) & ((1 << BITS) - 1)
}

/// So many bytes of the text decide on a step.
const BLOCK: usize = 3;
const BITS: usize = 18;
/// Longer needles make no longer steps: a step is one byte.
const MOST_KNOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use donjon_drivers::material::Material;
    use proptest::prelude::*;

    fn wanted(values: &[Vec<u8>]) -> Vec<Wanted> {
        let one = |(number, value): (usize, &Vec<u8>)| Wanted {
            name: format!("secret_{number}").parse().unwrap(),
            standing: Standing::Current,
            material: Material::new(value.clone()),
        };
        values.iter().enumerate().map(one).collect()
    }

    fn caught(sieve: &Sieve, text: &[u8]) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        sieve.search(text, &mut |caught| {
            if caught.encoding == Encoding::Raw {
                all.push((caught.at, caught.owner));
            }
        });
        all
    }

    proptest! {
        #[test]
        fn what_is_there_is_caught_and_nothing_else(
            text in proptest::collection::vec(b'a'..b'c', 0..400),
            values in proptest::collection::vec(proptest::collection::vec(b'a'..b'c', 8..14), 1..5),
            at in 0..300_usize,
        ) {
            let mut text = text;
            let at = at.min(text.len());
            text.splice(at..at, values[0].clone());
            let found = caught(&Sieve::new(&wanted(&values)), &text);
            for (owner, value) in values.iter().enumerate() {
                for place in 0..text.len() {
                    let there = text[place..].starts_with(value);
                    prop_assert_eq!(found.contains(&(place, owner)), there, "{} of {:?}", place, value);
                }
            }
        }
    }

    #[test]
    fn half_of_a_long_value_is_caught_where_the_rest_was_written_over() {
        let value = b"zq8Wn3TfLk0pVb6RmXcYd9HsJg2EaUo4iK7CtBwN".to_vec();
        let sieve = Sieve::new(&wanted(std::slice::from_ref(&value)));
        let over = |from: usize, to: usize| {
            let mut text = value.clone();
            text[from..to].fill(b'.');
            caught(&sieve, &text)
        };
        assert_eq!(over(0, 16), [(20, 0)], "a freed block of glibc's");
        assert_eq!(over(30, 40), [], "less than half says nothing");
    }

    #[test]
    fn forms_are_caught_with_their_white_space() {
        let sieve = Sieve::new(&wanted(&[b"correct horse battery".to_vec()]));
        assert_eq!(caught(&sieve, b"x=correct horse battery\n"), [(2, 0)]);
        let mut hex = Vec::new();
        sieve.search(b"636f727265637420686f72736520626174746572790a", &mut |caught| hex.push(caught.encoding));
        assert_eq!(hex, [Encoding::Hex]);
    }
}
