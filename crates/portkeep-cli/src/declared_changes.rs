//! What `apply` changes, as a diff and as a document.

use std::io::{self, Write as _};

use portkeep_admin::{Applied, Change, Kind, Record};
use serde::Serialize;

use crate::error::Result;
use crate::output::{escaped, json, text_of};

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    /// Whether files and machine differ, or differed before this.
    differs: bool,
    files: usize,
    declared: usize,
    changes: Vec<ChangeDocument<'a>>,
    /// What else differed between store, kernel part and protected ports.
    differences: Vec<String>,
    warnings: &'a [String],
    failures: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ChangeDocument<'a> {
    action: &'static str,
    line: Option<usize>,
    before: Option<EntryDocument<'a>>,
    after: Option<EntryDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct EntryDocument<'a> {
    kind: &'static str,
    protocol: String,
    start: u16,
    end: u16,
    netns: String,
    users: &'a [String],
    groups: &'a [String],
    cgroups: &'a [String],
    comment: Option<&'a str>,
    source: Option<String>,
}

impl<'a> From<&'a (Kind, Record)> for EntryDocument<'a> {
    fn from((kind, record): &'a (Kind, Record)) -> Self {
        Self {
            kind: match kind {
                Kind::Reservation => "reservation",
                Kind::Exclusion => "exclusion",
            },
            protocol: record.ports.protocol().to_string(),
            start: record.ports.start(),
            end: record.ports.end(),
            netns: record.netns.to_string(),
            users: &record.users,
            groups: &record.groups,
            cgroups: &record.cgroups,
            comment: record.comment.as_deref(),
            source: record.source.as_ref().map(text_of),
        }
    }
}

impl<'a> From<&'a Change> for ChangeDocument<'a> {
    fn from(change: &'a Change) -> Self {
        Self {
            action: match (&change.before, &change.after) {
                (None, _) => "add",
                (_, None) => "remove",
                _ => "change",
            },
            line: change.line,
            before: change.before.as_ref().map(EntryDocument::from),
            after: change.after.as_ref().map(EntryDocument::from),
        }
    }
}

/// Prints one document.
pub fn print_document(applied: &Applied, files: usize, declared: usize) -> Result<()> {
    let document = Document {
        schema: 1,
        differs: !applied.is_unchanged(),
        files,
        declared,
        changes: applied.changes.iter().map(ChangeDocument::from).collect(),
        differences: applied
            .differences
            .iter()
            .map(ToString::to_string)
            .collect(),
        warnings: &applied.warnings,
        failures: applied.failures.iter().map(ToString::to_string).collect(),
    };
    writeln!(io::stdout().lock(), "{}", json(&document)?)?;
    Ok(())
}

/// Prints a line for each entry that goes, with a minus, and for each that comes, with a plus.
pub fn print_diff(applied: &Applied) -> Result<()> {
    let mut out = io::stdout().lock();
    for change in &applied.changes {
        if let Some(before) = &change.before {
            writeln!(out, "- {}", escaped(&in_words(before, None)))?;
        }
        if let Some(after) = &change.after {
            writeln!(out, "+ {}", escaped(&in_words(after, change.line)))?;
        }
    }
    for difference in &applied.differences {
        writeln!(out, "~ {}", escaped(&difference.to_string()))?;
    }
    Ok(())
}

fn in_words((kind, record): &(Kind, Record), line: Option<usize>) -> String {
    let mut words = record.ports.to_string();
    match kind {
        Kind::Exclusion => words += " excluded",
        Kind::Reservation => words += &format!(" reserved for {}", record.consumers_in_words()),
    }
    if record.netns != portkeep_admin::Scope::Home {
        words += &format!(", network namespace {}", record.netns);
    }
    if let Some(comment) = &record.comment {
        words += &format!(" ({comment:?})");
    }
    if let Some(source) = &record.source {
        words += &format!("  {}", text_of(source));
        words.extend(line.map(|line| format!(":{line}")));
    }
    words
}

/// As in `2 declared entries: 1 added, 1 removed`.
pub fn summary(applied: &Applied, declared: usize) -> String {
    let count = |action: &str| {
        let documents = applied.changes.iter().map(ChangeDocument::from);
        documents.filter(|change| change.action == action).count()
    };
    let mut done: Vec<String> = [
        ("add", "added"),
        ("change", "changed"),
        ("remove", "removed"),
    ]
    .into_iter()
    .map(|(action, word)| (count(action), word))
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    if !applied.differences.is_empty() {
        done.push(format!("{} repaired", applied.differences.len()));
    }
    if done.is_empty() {
        done.push("nothing to change".to_owned());
    }
    let entries = if declared == 1 { "entry" } else { "entries" };
    format!("{declared} declared {entries}: {}", done.join(", "))
}
