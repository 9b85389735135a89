//! "Did you mean": the known word that is closest to a mistyped one, if one is close enough.

/// The candidate that `word` most likely means, if one is close.
///
/// A candidate is close if it differs by at most one edit per three characters, ignoring case. Words of one or two
/// characters therefore have no suggestions.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase();
    let allowed = word.chars().count() / 3;
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Help for an unknown word: the known word that is probably meant, or `list` followed by all known words.
pub(crate) fn suggestion(word: &str, known: &[&str], list: &str) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{list} {}", quoted(known)),
    }
}

/// The words in backticks, separated by commas: `` `a`, `b` ``. A long list is truncated.
pub(crate) fn quoted<T: std::fmt::Display>(words: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 30;
    let mut words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    if words.len() > SHOWN {
        let more = words.len() - SHOWN;
        words.truncate(SHOWN);
        words.push(format!("and {more} more"));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_gets_a_suggestion_and_an_unrelated_word_gets_none() {
        let known = ["provider", "ports", "prefix"];
        assert_eq!(nearest("provdier", known), Some("provider"));
        assert_eq!(nearest("Ports", known), Some("ports"));
        assert_eq!(nearest("timeout", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("5", ["1", "3"]), None);
    }

    #[test]
    fn a_long_list_is_truncated() {
        assert!(quoted(0..35).ends_with("`29`, and 5 more"));
    }
}
