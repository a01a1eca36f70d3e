//! TOML, taken apart key by key, so that every mistake in a text is found and not only the first.

use serde::de::DeserializeOwned;
use serde::de::value::{Error as WordError, StrDeserializer};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::{Mistake, nearest};

/// A text, and what is wrong with it so far.
pub(super) struct Reader<'t> {
    text: &'t str,
    mistakes: Vec<(usize, String)>,
}

/// A value and where it begins, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub(super) at: usize,
    pub(super) value: T,
}

impl<'t> Reader<'t> {
    /// Reads as much as can be read.
    pub(super) fn open(text: &'t str) -> (Self, Spanned<DeTable<'t>>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Self { text, mistakes: Vec::new() };
        for error in errors {
            reader.wrong(error.span().map_or(0, |span| span.start), error.message());
        }
        (reader, table)
    }

    /// Something at this byte is wrong: a sentence, or the end of one.
    pub(super) fn wrong(&mut self, at: usize, what: impl Into<String>) {
        self.mistakes.push((at, what.into()));
    }

    /// Everything that is wrong, from the top down.
    pub(super) fn finish(mut self) -> Vec<Mistake> {
        self.mistakes.sort();
        self.mistakes.dedup();
        places(self.text, self.mistakes)
    }

    /// Says which keys are not known.
    pub(super) fn only(&mut self, table: &DeTable<'_>, keys: &[&str]) {
        for key in table.keys() {
            let word = key.get_ref();
            if !keys.contains(&&**word) {
                let hint = match nearest(word, keys.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are `{}`", keys.join("`, `")),
                };
                self.wrong(key.span().start, format!("unknown key `{word}`; {hint}"));
            }
        }
    }

    /// The text under a key.
    pub(super) fn text(&mut self, table: &DeTable<'_>, key: &str) -> Option<Placed<String>> {
        let value = table.get(key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong(
                value.span().start,
                format!("`{key}` is a text in quotes, and this is {}", what(value)),
            );
            return None;
        };
        Some(Placed { at: value.span().start, value: text.to_owned() })
    }

    /// The texts in the list under a key; none without it.
    pub(super) fn texts(&mut self, table: &DeTable<'_>, key: &str) -> Vec<Placed<String>> {
        let mut texts = Vec::new();
        for value in self.list(table, key).into_iter().flat_map(|list| list.iter()) {
            if let Some(text) = value.get_ref().as_str() {
                texts.push(Placed { at: value.span().start, value: text.to_owned() });
            } else {
                let is = what(value);
                self.wrong(value.span().start, format!("`{key}` is a list of texts, and this is {is}"));
            }
        }
        texts
    }

    /// Whether a key says `true`; `None` without it.
    pub(super) fn truth(&mut self, table: &DeTable<'_>, key: &str) -> Option<bool> {
        let value = table.get(key)?;
        let truth = value.get_ref().as_bool();
        if truth.is_none() {
            self.wrong(value.span().start, format!("`{key}` is true or false, and this is {}", what(value)));
        }
        truth
    }

    /// The number under a key.
    pub(super) fn number(&mut self, table: &DeTable<'_>, key: &str) -> Option<u32> {
        let value = table.get(key)?;
        let number = integer(value).and_then(|number| u32::try_from(number).ok());
        if number.is_none() {
            let is = what(value);
            self.wrong(
                value.span().start,
                format!("`{key}` is a number from 0 to {}, and this is {is}", u32::MAX),
            );
        }
        number
    }

    /// One of the words that a type knows.
    pub(super) fn word<T: DeserializeOwned>(&mut self, table: &DeTable<'_>, key: &str) -> Option<T> {
        let Placed { at, value } = self.text(table, key)?;
        match T::deserialize(StrDeserializer::<WordError>::new(&value)) {
            Ok(word) => Some(word),
            Err(error) => {
                // serde says "unknown variant `x`, expected one of `a`, `b`".
                let error = error.to_string();
                let known: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
                let hint = match nearest(&value, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are `{}`", known.join("`, `")),
                };
                self.wrong(at, format!("there is no {key} `{value}`; {hint}"));
                None
            }
        }
    }

    /// The tables of an array `[[key]]`, with the place of each.
    pub(super) fn tables<'d, 'i>(
        &mut self,
        table: &'d DeTable<'i>,
        key: &str,
    ) -> Vec<Placed<&'d DeTable<'i>>> {
        let mut tables = Vec::new();
        for value in self.list(table, key).into_iter().flat_map(|list| list.iter()) {
            match value.get_ref().as_table() {
                Some(one) => tables.push(Placed { at: value.span().start, value: one }),
                None => self.wrong(
                    value.span().start,
                    format!("`[[{key}]]` is a table, and this is {}", what(value)),
                ),
            }
        }
        tables
    }

    fn list<'d, 'i>(&mut self, table: &'d DeTable<'i>, key: &str) -> Option<&'d DeArray<'i>> {
        let value = table.get(key)?;
        let list = value.get_ref().as_array();
        if list.is_none() {
            self.wrong(value.span().start, format!("`{key}` is a list, and this is {}", what(value)));
        }
        list
    }
}

/// A whole number, in whichever notation.
pub(super) fn integer(value: &Spanned<DeValue<'_>>) -> Option<i64> {
    let integer = value.get_ref().as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// `a number`, in words.
pub(super) fn what(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What is wrong, by byte and ascending, with line and column, both from 1. Goes through the text once.
pub(super) fn places(text: &str, wrong: Vec<(usize, String)>) -> Vec<Mistake> {
    let (mut line, mut column) = (1, 1);
    let mut chars = text.char_indices().peekable();
    let mut placed = |(at, what): (usize, String)| {
        while let Some((_, c)) = chars.next_if(|(next, _)| *next < at) {
            (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        Mistake { line, column, what }
    };
    wrong.into_iter().map(&mut placed).collect()
}
