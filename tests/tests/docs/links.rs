//! Links between pages and to files.

use crate::pages::{self, Page};

/// What is between `](` and `)`, outside of code.
fn targets(page: &Page) -> Vec<&str> {
    let mut code = false;
    page.text
        .lines()
        .filter(|line| {
            code ^= line.trim_start().starts_with("```");
            !code
        })
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split(')').next())
        .collect()
}

/// As GitHub and mdBook make anchors of headings.
fn anchors(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| Some(line.strip_prefix('#')?.trim_start_matches('#').trim()))
        .map(|heading| {
            heading
                .to_lowercase()
                .chars()
                .filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'))
                .map(|it| if it == ' ' { '-' } else { it })
                .collect()
        })
        .collect()
}

pub(crate) fn lead_somewhere() {
    let mut count = 0;
    for page in pages::all() {
        for target in targets(&page) {
            if target.starts_with("https://") {
                continue;
            }
            count += 1;
            let here = page.path.display();
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => page.path.clone(),
                file => page.path.parent().expect("a directory").join(file),
            };
            assert!(path.exists(), "{here} leads to {target}");
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(&path).expect("read the page");
                assert!(
                    anchors(&text).iter().any(|it| it == anchor),
                    "{here} leads to {target}: {:?}",
                    anchors(&text)
                );
            }
        }
    }
    assert!(count > 20, "{count} links");
}

/// Every page is in the book's table of contents.
pub(crate) fn the_book_has_every_page() {
    let pages = pages::all();
    let summary = pages
        .iter()
        .find(|page| page.path.ends_with("docs/SUMMARY.md"))
        .expect("a table of contents");
    let listed = targets(summary);
    for page in &pages {
        let name = page.path.file_name().and_then(|it| it.to_str());
        let name = name.expect("a name");
        let is_docs = page.path.parent().is_some_and(|it| it.ends_with("docs"));
        if is_docs && name != "SUMMARY.md" {
            assert!(listed.contains(&name), "{name} is not in SUMMARY.md");
        }
    }
}
