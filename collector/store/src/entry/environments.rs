//! Which environments there are, in their order of promotion.

/// The environments have another order, or there are others.
#[derive(Debug, Clone, PartialEq)]
pub struct EnvironmentsOrdered {
    /// All of them, in order of promotion.
    pub names: Vec<String>,
    /// What was before; empty: nothing, the journal begins.
    pub before: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EnvironmentsOrderedBytes {
    #[prost(string, repeated, tag = "1")]
    names: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    before: Vec<String>,
}

impl From<EnvironmentsOrdered> for EnvironmentsOrderedBytes {
    fn from(EnvironmentsOrdered { names, before }: EnvironmentsOrdered) -> Self {
        Self { names, before }
    }
}

impl From<EnvironmentsOrderedBytes> for EnvironmentsOrdered {
    fn from(EnvironmentsOrderedBytes { names, before }: EnvironmentsOrderedBytes) -> Self {
        Self { names, before }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Entry;
    use super::*;

    /// Somebody did it, but for the first one, which begins the journal.
    #[test]
    fn an_order_round_trips_and_is_audited_when_it_is_another() {
        for before in [vec![], vec!["prod".to_owned()]] {
            let names = vec!["dev".to_owned(), "prod".to_owned()];
            let entry = Entry::EnvironmentsOrdered(EnvironmentsOrdered { names, before: before.clone() });
            assert_eq!(entry.is_administrative(), !before.is_empty());
            assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        }
    }
}
