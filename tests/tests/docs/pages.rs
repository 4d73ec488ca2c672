//! The pages, all of Markdown.

use std::fs;
use std::path::{Path, PathBuf};

/// The top of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A page, and where it is.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Those that readers are led to.
pub(crate) fn all() -> Vec<Page> {
    let mut paths: Vec<_> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
        .map(|name| repository().join(name))
        .into();
    let docs = fs::read_dir(repository().join("docs")).expect("read docs");
    paths.extend(docs.flatten().map(|entry| entry.path()));
    let pages: Vec<_> = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|it| it == "md"))
        .map(|path| Page {
            text: fs::read_to_string(&path).expect("read a page"),
            path,
        })
        .collect();
    assert!(pages.len() > 5, "{pages:?}");
    pages
}
