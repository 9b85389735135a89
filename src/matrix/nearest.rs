//! "Did you mean": the known word that a mistyped one is closest to, where one is close enough.

/// The candidate that `word` is most likely a slip of, if any is near.
///
/// Near is one edit in three characters, upper and lower case taken as equal: one and two characters have no slips.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase();
    let allowed = word.chars().count() / 3;
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn distance(word: &str, candidate: &str) -> usize {
    strsim::damerau_levenshtein(word, &candidate.to_lowercase())
}

/// The words in back quotes, with commas between: `` `a`, `b` ``; a long list is cut short.
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
    fn a_slip_finds_its_word_and_a_stranger_none() {
        let known = ["provider", "ports", "prefix"];
        assert_eq!(nearest("provdier", known), Some("provider"));
        assert_eq!(nearest("Ports", known), Some("ports"));
        assert_eq!(nearest("timeout", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("5", ["1", "3"]), None);
    }

    #[test]
    fn a_long_list_is_cut() {
        assert!(quoted(0..35).ends_with("`29`, and 5 more"));
    }
}
