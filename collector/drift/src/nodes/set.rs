//! Sets of nodes by their places. Most are large and dense, or one node that is like no other.

use std::sync::Arc;

use roaring::RoaringBitmap;

/// A set of places; never empty. Cheap to clone: what is large is shared until one of the copies changes.
#[derive(Debug, Clone)]
pub(crate) enum Set {
    /// One place.
    One(u32),
    /// Several.
    Many(Arc<RoaringBitmap>),
}

impl Set {
    /// How many.
    pub(crate) fn len(&self) -> u32 {
        match self {
            Self::One(_) => 1,
            Self::Many(places) => count(places),
        }
    }

    /// Ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (one, many) = match self {
            Self::One(place) => (Some(*place), None),
            Self::Many(places) => (None, Some(places)),
        };
        one.into_iter().chain(many.into_iter().flat_map(|places| places.iter()))
    }

    /// Adds these to a bitmap.
    pub(crate) fn add_to(&self, all: &mut RoaringBitmap) {
        match self {
            Self::One(place) => {
                all.insert(*place);
            }
            Self::Many(places) => *all |= &**places,
        }
    }

    /// Adds a place.
    pub(crate) fn insert(&mut self, place: u32) {
        match self {
            Self::One(own) if *own == place => {}
            Self::One(own) => *self = Self::Many(Arc::new(RoaringBitmap::from_iter([*own, place]))),
            Self::Many(places) => {
                Arc::make_mut(places).insert(place);
            }
        }
    }

    /// The set without a place; `None` when nothing is left.
    pub(crate) fn without(self, place: u32) -> Option<Self> {
        match self {
            Self::One(own) => (own != place).then_some(self),
            Self::Many(mut places) => {
                Arc::make_mut(&mut places).remove(place);
                match (places.min(), places.max()) {
                    (Some(first), Some(last)) if first == last => Some(Self::One(first)),
                    (Some(_), _) => Some(Self::Many(places)),
                    (None, _) => None,
                }
            }
        }
    }
}

/// How many places a bitmap holds: places are numbered by 32 bits.
pub(crate) fn count(places: &RoaringBitmap) -> u32 {
    u32::try_from(places.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_grows_and_shrinks_and_its_copy_stays() {
        let mut set = Set::One(7);
        set.insert(7);
        assert_eq!(set.len(), 1);
        for place in [3, 9, 7] {
            set.insert(place);
        }
        let copy = set.clone();
        let rest = set.without(7).and_then(|set| set.without(3)).unwrap();
        assert!(matches!(rest, Set::One(9)));
        assert!(rest.clone().without(3).is_some() && rest.without(9).is_none());
        assert_eq!(copy.iter().collect::<Vec<_>>(), [3, 7, 9]);
    }
}
