//! Which of several differences are more than chance, if all are looked at: Holm's step-down. Knows no intervals.

/// Which of `count` differences hold, so that together at most `alpha` of such families have one that does not. `holds` says whether one does at a
/// level.
pub fn decided(count: usize, alpha: f64, holds: impl Fn(usize, f64) -> bool) -> Vec<bool> {
    let mut decided = vec![false; count];
    loop {
        let open = decided.iter().filter(|decided| !**decided).count();
        let level = alpha / open as f64;
        let new: Vec<usize> = (0..count).filter(|index| !decided[*index] && holds(*index, level)).collect();
        if new.is_empty() {
            return decided;
        }
        new.into_iter().for_each(|index| decided[index] = true);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_p_values(p: &[f64]) -> Vec<bool> {
        decided(p.len(), 0.05, |index, level| p[index] <= level)
    }

    #[test]
    fn the_clearest_pays_for_all_and_each_that_follows_for_those_that_are_left() {
        assert_eq!(by_p_values(&[0.04]), [true]);
        assert_eq!(by_p_values(&[0.04, 0.04]), [false, false]);
        assert_eq!(by_p_values(&[0.04, 0.02]), [true, true]);
        assert_eq!(by_p_values(&[0.03, 0.03, 0.016]), [false, false, true]);
        assert_eq!(by_p_values(&[]), [false; 0]);
    }

    proptest! {
        /// Holm's rule as it is written: in ascending order, each against what is left, until the first that does not hold.
        #[test]
        fn it_is_the_rule_in_its_textbook_form(p in prop::collection::vec(0.0_f64..0.1, 0..12)) {
            let mut order: Vec<usize> = (0..p.len()).collect();
            order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
            let mut expected = vec![false; p.len()];
            for (rank, index) in order.into_iter().enumerate() {
                if p[index] > 0.05 / (p.len() - rank) as f64 {
                    break;
                }
                expected[index] = true;
            }
            prop_assert_eq!(by_p_values(&p), expected);
        }
    }
}
