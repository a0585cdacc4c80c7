//! A set of small numbers.

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn insert(&mut self, number: u32) {
        let (word, bit) = place(number);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        let (word, bit) = place(number);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(super) fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// How many are in both.
    pub(super) fn common(&self, other: &Self) -> u64 {
        self.0.iter().zip(&other.0).map(|(a, b)| u64::from((a & b).count_ones())).sum()
    }

    /// Those that are in both.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        let words = self.0.iter().zip(0_u32..);
        words.flat_map(|(word, number)| {
            (0..u64::BITS).filter(move |bit| word >> bit & 1 != 0).map(move |bit| number * 64 + bit)
        })
    }
}

fn place(number: u32) -> (usize, u64) {
    (usize::try_from(number / u64::BITS).unwrap_or(usize::MAX), 1 << (number % u64::BITS))
}

#[cfg(test)]
mod tests {
    use super::Bits;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn is_a_set(some in proptest::collection::btree_set(0_u32..500, 0..40),
                    others in proptest::collection::btree_set(0_u32..500, 0..40)) {
            let bits = |numbers: &BTreeSet<u32>| {
                let mut bits = Bits::default();
                numbers.iter().for_each(|number| bits.insert(*number));
                bits
            };
            let (a, b) = (bits(&some), bits(&others));
            prop_assert_eq!(a.iter().collect::<BTreeSet<_>>(), some.clone());
            prop_assert_eq!(a.len(), some.len() as u64);
            prop_assert_eq!(a.common(&b), some.intersection(&others).count() as u64);
            let both: BTreeSet<u32> = some.intersection(&others).copied().collect();
            prop_assert_eq!(a.intersection(&b).iter().collect::<BTreeSet<_>>(), both);
            prop_assert!((0..600).all(|number| a.contains(number) == some.contains(&number)));
        }
    }
}
