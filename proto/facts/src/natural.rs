//! The order in which people read names: `web-2` before `web-11`.

use std::cmp::Ordering;

/// Runs of digits count as numbers, every other byte as itself. Names that differ only in leading zeros come in order of
/// their bytes, so that different texts are never equal.
pub fn order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    loop {
        let (x, y) = match (left.first(), right.first()) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => (x, y),
        };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (first, second);
            (first, left) = number(left);
            (second, right) = number(right);
            // Without leading zeros the longer one is greater, whatever its size.
            match first.len().cmp(&second.len()).then_with(|| first.cmp(second)) {
                Ordering::Equal => {}
                decided => return decided,
            }
        } else if x == y {
            (left, right) = (&left[1..], &right[1..]);
        } else {
            return x.cmp(y);
        }
    }
}

/// Sorts names for people; what is in order already costs one look.
pub fn sort(names: &mut [String]) {
    if !is_sorted(names) {
        names.sort_by(|a, b| order(a, b));
    }
}

/// Whether names are in this order.
pub fn is_sorted(names: &[String]) -> bool {
    names.is_sorted_by(|a, b| order(a, b).is_le())
}

/// The digits in front, without leading zeros, and what is behind them.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    (&digits[zeros..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_count_as_numbers() {
        let mut names = [
            "web-11",
            "web-2",
            "web-02",
            "web-2a",
            "web",
            "db-10.rack-9",
            "db-10.rack-10",
            "db-9.rack-11",
            "web-99999999999999999999999999",
            "web-99999999999999999999999998",
        ]
        .map(str::to_owned);
        sort(&mut names);
        let expected = [
            "db-9.rack-11",
            "db-10.rack-9",
            "db-10.rack-10",
            "web",
            "web-02",
            "web-2",
            "web-2a",
            "web-11",
            "web-99999999999999999999999998",
            "web-99999999999999999999999999",
        ];
        assert_eq!(names, expected);
    }

    proptest! {
        /// Promise: one order, whoever sorts: total, and nothing but equal texts is equal.
        #[test]
        fn it_is_one_order(a in "[a0-3.]{0,6}", b in "[a0-3.]{0,6}", c in "[a0-3.]{0,6}") {
            prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
            prop_assert_eq!(order(&a, &b).is_eq(), a == b);
            if order(&a, &b).is_le() && order(&b, &c).is_le() {
                prop_assert!(order(&a, &c).is_le());
            }
        }
    }
}
