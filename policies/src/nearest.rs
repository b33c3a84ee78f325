//! What a mistyped word was probably meant to be.

/// The candidate that reads most like `word`, whatever its case, if one reads much like it: up to one slip, and one more for
/// every four letters (Damerau-Levenshtein). Of several that are as near, the first of the alphabet.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + lower.len().max(candidate.len()) / 4)
        .min()
        .map(|(_, candidate)| candidate)
}
