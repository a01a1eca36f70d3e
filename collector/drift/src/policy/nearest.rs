//! The word that somebody most likely meant.

/// The nearest of the candidates, if it is near: at most a third of its letters are wrong.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let most = candidate.chars().count().div_ceil(3);
            Some((distance_within(word, candidate, most)?, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The nearest of the candidates of which at most so many letters are wrong.
pub(crate) fn nearest_within<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> Option<&'a str> {
    let near = candidates.into_iter().filter(|candidate| candidate.len().abs_diff(word.len()) <= 4 * most);
    near.filter_map(|candidate| Some((distance_within(word, candidate, most)?, candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, near)| near)
}

/// How many letters must be put, taken or changed (Levenshtein), over at most 64 letters of each; `None`: more than that.
/// Ends as soon as it is more.
fn distance_within(a: &str, b: &str, most: usize) -> Option<usize> {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
        if row.iter().all(|distance| *distance > most) {
            return None;
        }
    }
    Some(row[b.len()]).filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_near_and_other_words_are_not() {
        let keys = ["path", "paths", "class", "compare", "severity", "reason"];
        assert_eq!(nearest("sevrity", keys), Some("severity"));
        assert_eq!(nearest("clas", keys), Some("class"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(distance_within("kitten", "sitting", 3), Some(3));
        assert_eq!(distance_within("kitten", "sitting", 2), None);
    }
}
