//! What a broken catalogue says, and that no text at all makes the reader panic.

use donjon_policies::catalogue::{Catalogue, EMBEDDED};
use proptest::prelude::*;

#[test]
fn a_broken_catalogue_tells_every_mistake_with_file_and_line() {
    let said = Catalogue::parse("broken.yaml", include_str!("broken.yaml")).unwrap_err().to_string();
    let said: Vec<&str> = said.lines().collect();
    let expected: Vec<&str> = include_str!("broken.txt").lines().collect();
    assert_eq!(said, expected, "\n{}", said.join("\n"));
}

#[test]
fn yaml_that_does_not_parse_is_one_mistake_with_its_line() {
    let mistakes = Catalogue::parse("torn.yaml", "deployer: x\nsecrets: {a: [\n").unwrap_err();
    assert_eq!(mistakes.list.len(), 1);
    assert!(mistakes.to_string().starts_with("torn.yaml:"), "{mistakes}");
    assert!(
        Catalogue::parse("empty.yaml", "")
            .unwrap_err()
            .to_string()
            .contains("empty.yaml: the catalogue lacks `secrets`")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_bytes_are_an_answer_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Catalogue::parse("any.yaml", &String::from_utf8_lossy(&bytes));
    }

    /// A real catalogue cut, torn and scribbled on: an answer, and every mistake on a line that exists.
    #[test]
    fn a_damaged_catalogue_is_an_answer_and_never_a_panic(
        which in 0_usize..3,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), "[\\-:{}\\[\\], a-z0-9\"'&*!\n]{0,6}", 0_usize..40), 1..6),
    ) {
        let mut text: Vec<char> = EMBEDDED[which].1.chars().collect();
        for (at, scribble, lost) in damage {
            let at = at.index(text.len() + 1);
            let end = (at + lost).min(text.len());
            text.splice(at..end, scribble.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(mistakes) = Catalogue::parse("damaged.yaml", &text) {
            let lines = text.lines().count() as u64 + 1;
            prop_assert!(!mistakes.list.is_empty());
            prop_assert!(mistakes.list.iter().all(|mistake| mistake.line <= lines), "{}", mistakes);
        }
    }
}
