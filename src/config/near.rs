//! Which known name a mistyped one was probably meant to be. Knows no configuration.

/// The known name nearest to `name`, if one is near enough to be a slip of the keyboard. Ties go to the first.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = folded(name);
    let scored = known.into_iter().map(|candidate| (distance(&name, &folded(candidate)), candidate));
    let (edits, candidate) = scored.min_by_key(|(edits, _)| *edits)?;
    (edits <= (name.len() / 3).max(1)).then_some(candidate)
}

/// Upper and lower case, hyphens and underscores are often mixed up: they do not count as a difference.
fn folded(name: &str) -> Vec<char> {
    name.chars().map(|letter| if letter == '-' { '_' } else { letter.to_ascii_lowercase() }).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one into the other (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = previous[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut edits = replaced.min(previous[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                edits = edits.min(before[j - 2] + 1);
            }
            row.push(edits);
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["fallbacks", "deployments", "max_tokens"];
        assert_eq!(nearest("falbacks", known), Some("fallbacks"));
        assert_eq!(nearest("fallbakcs", known), Some("fallbacks"));
        assert_eq!(nearest("Max-Tokens", known), Some("max_tokens"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
