//! A sequence that is copied in no time: its pages are shared until one of them changes, and then only that one is copied. Knows nothing of what
//! the values are.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Values on a page: so many are copied when one of them changes for the first time after the whole was copied.
const PAGE: usize = 32;

/// A sequence, by number from 0. The oldest can be let go; the others keep their numbers.
#[derive(Debug, Clone)]
pub struct Pages<T> {
    pages: VecDeque<Arc<Vec<T>>>,
    /// Values that were let go, those that are still on the first page included.
    gone: usize,
    /// Values on pages that were let go.
    gone_pages: usize,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: VecDeque::new(), gone: 0, gone_pages: 0 }
    }
}

impl<T> Pages<T> {
    /// The number that the next value gets.
    pub fn end(&self) -> usize {
        let last = self.pages.back().map_or(0, |page| page.len());
        self.gone_pages + self.pages.len().saturating_sub(1) * PAGE + last
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.end() - self.gone
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The oldest.
    pub fn front(&self) -> Option<&T> {
        self.get(self.gone)
    }

    /// A value by its number.
    pub fn get(&self, number: usize) -> Option<&T> {
        let place = number.checked_sub(self.gone_pages).filter(|_| number >= self.gone)?;
        self.pages.get(place / PAGE)?.get(place % PAGE)
    }

    /// All of them, with their numbers.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, &T)> {
        (self.gone..self.end()).map(|number| (number, self.get(number).expect("there are all from the first to the last")))
    }

    /// Lets the oldest go, and says which it was.
    pub fn pop_front(&mut self) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        if self.gone - self.gone_pages == PAGE {
            self.pages.pop_front();
            self.gone_pages += PAGE;
        }
        self.gone += 1;
        self.pages.front().map(|page| &page[self.gone - self.gone_pages - 1])
    }
}

impl<T: Clone> Pages<T> {
    /// A value by its number, to be changed.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        let place = number.checked_sub(self.gone_pages).filter(|_| number >= self.gone)?;
        Arc::make_mut(self.pages.get_mut(place / PAGE)?).get_mut(place % PAGE)
    }

    /// Puts a value at the end.
    pub fn push(&mut self, value: T) {
        match self.pages.back_mut().filter(|page| page.len() < PAGE) {
            Some(page) => Arc::make_mut(page).push(value),
            None => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(value);
                self.pages.push_back(Arc::new(page));
            }
        }
    }
}

impl<T: Clone + Default> Pages<T> {
    /// A value by its number, to be changed; those that there were not are as by default.
    pub fn at(&mut self, number: usize) -> &mut T {
        while self.end() <= number {
            self.push(T::default());
        }
        self.get_mut(number).expect("it is there by now")
    }
}

impl<T: Serialize> Serialize for Pages<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // With its length, which the iterator does not know of itself.
        use serde::ser::SerializeSeq;
        let mut values = serializer.serialize_seq(Some(self.len()))?;
        self.iter().try_for_each(|(_, value)| values.serialize_element(value))?;
        values.end()
    }
}

impl<'de, T: Deserialize<'de> + Clone> Deserialize<'de> for Pages<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values<T>(Pages<T>);
        impl<'de, T: Deserialize<'de> + Clone> Visitor<'de> for Values<T> {
            type Value = Pages<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<Pages<T>, A::Error> {
                while let Some(value) = values.next_element()? {
                    self.0.push(value);
                }
                Ok(self.0)
            }
        }
        deserializer.deserialize_seq(Values(Self::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stays_as_it_was_and_shares_what_has_not_changed() {
        let mut pages = Pages::default();
        (0..1000).for_each(|value| pages.push(value));
        let copy = pages.clone();
        *pages.get_mut(500).unwrap() = 0;
        pages.push(1000);
        assert_eq!((copy.get(500), copy.get(1000), pages.get(500), pages.get(1000)), (Some(&500), None, Some(&0), Some(&1000)));
        let shared = copy.pages.iter().zip(&pages.pages).filter(|(one, other)| Arc::ptr_eq(one, other)).count();
        assert_eq!(shared, copy.pages.len() - 2, "the page of the one that changed, and the last");
    }

    #[test]
    fn the_oldest_goes_and_the_others_keep_their_numbers() {
        let mut pages = Pages::default();
        let mut model = VecDeque::new();
        for value in 0..500_usize {
            pages.push(value);
            model.push_back(value);
            if value % 3 > 0 {
                assert_eq!(pages.pop_front().copied(), model.pop_front());
            }
            assert_eq!((pages.len(), pages.end()), (model.len(), value + 1));
            assert!(pages.iter().map(|(number, value)| (number, *value)).eq(model.iter().map(|value| (*value, *value))));
        }
        assert_eq!((pages.get(model[0] - 1), pages.get(model[0])), (None, Some(&model[0])));
        while pages.pop_front().is_some() {}
        assert_eq!((pages.len(), pages.end()), (0, 500));
        *pages.at(502) = 7;
        assert!(pages.iter().map(|(_, value)| *value).eq([0, 0, 7]));
    }

    #[test]
    fn it_is_spelt_as_a_sequence() {
        let mut pages = Pages::default();
        (0..100_u32).for_each(|value| pages.push(value));
        (0..40).for_each(|first| assert_eq!(pages.pop_front(), Some(&first)));
        let bytes = postcard::to_stdvec(&pages).unwrap();
        assert_eq!(bytes, postcard::to_stdvec(&(40..100).collect::<Vec<u32>>()).unwrap());
        let read: Pages<u32> = postcard::from_bytes(&bytes).unwrap();
        assert!(read.iter().map(|(_, value)| *value).eq(40..100));
    }
}
