//! Variables in a compose file: of the environment, and of the file .env beside it.

use std::collections::HashMap;
use std::path::Path;
use std::{env, fs, io};

use crate::error::{Context as _, Result};

#[derive(Debug)]
pub struct Variables(HashMap<String, String>);

impl Variables {
    /// The environment's, and those of .env that it does not have.
    pub fn beside(file: &Path) -> Result<Self> {
        let place = file.parent().unwrap_or(Path::new("")).join(".env");
        let text = match fs::read_to_string(&place) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", place.display()));
            }
        };
        let named = text.lines().filter_map(assignment);
        let environment = env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Ok(Self(named.chain(environment).collect()))
    }

    #[cfg(test)]
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self(variables.into_iter().map(owned).collect())
    }

    /// Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and the like; `$$` is a dollar sign.
    pub fn substitute(&self, text: &str) -> Result<String, String> {
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            result.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                result.push('$');
                rest = after;
            } else if let Some(after) = rest.strip_prefix('{') {
                let end =
                    closing_brace(after).ok_or_else(|| format!("'{text}': a brace is missing"))?;
                result.push_str(&self.expression(&after[..end])?);
                rest = &after[end + 1..];
            } else {
                let end = rest.find(|it| !is_of_name(it)).unwrap_or(rest.len());
                result.push_str(self.required(&rest[..end], None)?);
                rest = &rest[end..];
            }
        }
        Ok(result + rest)
    }

    /// What is in braces.
    fn expression(&self, text: &str) -> Result<String, String> {
        let end = text.find(|it| !is_of_name(it)).unwrap_or(text.len());
        let (name, operator) = text.split_at(end);
        let value = self.0.get(name).map(String::as_str);
        // With a colon an empty value is like none.
        let (value, operator) = match operator.strip_prefix(':') {
            Some(operator) => (value.filter(|value| !value.is_empty()), operator),
            None => (value, operator),
        };
        match (operator.split_at_checked(1), value) {
            (Some(("-" | "?", _)), Some(value)) => Ok(value.to_owned()),
            (Some(("-", other)), None) | (Some(("+", other)), Some(_)) => self.substitute(other),
            (Some(("+", _)), None) => Ok(String::new()),
            (Some(("?", reason)), None) => {
                self.required("", Some((name, reason))).map(str::to_owned)
            }
            _ => self.required(name, None).map(str::to_owned),
        }
    }

    fn required(&self, name: &str, refused: Option<(&str, &str)>) -> Result<&str, String> {
        match refused {
            Some((name, "")) => Err(format!("the variable {name} is not set")),
            Some((name, reason)) => Err(format!("the variable {name} is not set: {reason}")),
            None => match self.0.get(name) {
                Some(value) => Ok(value),
                None => self.required(name, Some((name, ""))),
            },
        }
    }
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Defaults may have variables in them.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 1;
    for (place, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(place);
        }
    }
    None
}

/// `NAME=value`, perhaps quoted, perhaps after `export`.
fn assignment(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let (name, value) = line
        .strip_prefix("export ")
        .unwrap_or(line)
        .split_once('=')?;
    let quoted = |quote| value.trim().strip_prefix(quote)?.split_once(quote);
    let value = match quoted('"').or_else(|| quoted('\'')) {
        Some((value, _)) => value,
        None => value.split(" #").next().unwrap_or_default().trim(),
    };
    let name = name.trim();
    let is_name = !name.is_empty() && name.chars().all(is_of_name);
    is_name.then(|| (name.to_owned(), value.to_owned()))
}
