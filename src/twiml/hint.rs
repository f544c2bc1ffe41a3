//! "Did you mean ...?"

/// Longer names are nobody's slip of the finger.
const LENGTH_MAX: usize = 40;

/// Of `known`, the word that `name` was probably meant to be: it differs in case only, or by one letter changed, added,
/// left out or swapped with its neighbour (two letters where the word has six or more). `None` if nothing is that near.
pub(crate) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    if name.len() > LENGTH_MAX {
        return None;
    }
    let lower = name.to_lowercase();
    known
        .iter()
        .filter(|word| **word != name)
        .map(|word| (strsim::osa_distance(&lower, &word.to_lowercase()), *word))
        .filter(|(distance, word)| *distance <= if word.len() < 6 { 1 } else { 2 })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Names of fewer letters have too many neighbours.
const MISSPELT_LENGTH_MIN: usize = 6;

/// How many edits make a name another's misspelling.
const MISSPELT_EDITS_MAX: usize = 2;

/// Of `known`, the word that `name` misspells: within two edits (a letter changed, added, left out or swapped with its
/// neighbour; other capitals are one edit, however many), of words with six letters or more (spec/pay.md, section 2).
pub(crate) fn misspelt<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    if name.len() > LENGTH_MAX {
        return None;
    }
    let lower = name.to_lowercase();
    let edits = |word: &str| {
        let letters = strsim::osa_distance(&lower, &word.to_lowercase());
        letters.saturating_add(usize::from(strsim::osa_distance(name, word) > letters))
    };
    known
        .iter()
        .filter(|word| word.len() >= MISSPELT_LENGTH_MIN)
        .map(|word| (edits(word), *word))
        .filter(|(edits, _)| *edits <= MISSPELT_EDITS_MAX)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_word_and_a_strange_word_finds_none() {
        let known = ["Say", "Play", "Pay", "Pause", "Gather", "Redirect"];
        for (name, word) in
            [("say", "Say"), ("PLAY", "Play"), ("Gathre", "Gather"), ("Gahter", "Gather"), ("Redirct", "Redirect")]
        {
            assert_eq!(nearest(name, &known), Some(word), "{name}");
        }
        for name in ["Announce", "", "Pa\u{0}ssst", "x", &"Say".repeat(20)] {
            assert_eq!(nearest(name, &known), None, "{name}");
        }
    }
}
