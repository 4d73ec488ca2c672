//! Cgroups by name.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use portkeep_host::mounts;

use crate::error::{Error, ErrorKind};
use crate::install::cgroup::{self, children};

/// Where the cgroup v2 hierarchy is mounted.
fn hierarchy() -> Result<PathBuf, Error> {
    mounts::first("cgroup2")
        .map_err(|error| Error::system("reading /proc/self/mounts", error))?
        .ok_or_else(|| Error::new(ErrorKind::UnknownName, "no cgroup2 file system is mounted"))
}

/// The name as the store keeps it: a path from the root of the hierarchy, or the name of a systemd
/// unit, which is found wherever it is.
pub fn canonical(name: &str) -> Result<String, Error> {
    let path = Path::new(name);
    if is_unit(name) {
        return Ok(name.to_owned());
    }
    let hierarchy = hierarchy()?;
    let below = path.strip_prefix(&hierarchy).unwrap_or(path);
    let below = below.strip_prefix("/").unwrap_or(below);
    let usual = below
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    match below.to_str() {
        Some("") => Err(Error::new(
            ErrorKind::InvalidInput,
            "every process is in the root cgroup",
        )
        .with_hint("`portkeep exclude` keeps ports that everybody may bind to")),
        Some(below) if usual => Ok(format!("/{}", below.trim_end_matches('/'))),
        _ => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("'{name}' is not the path of a cgroup"),
        )),
    }
}

fn is_unit(name: &str) -> bool {
    !name.contains('/')
        && [".service", ".slice", ".scope", ".socket"]
            .iter()
            .any(|kind| name.ends_with(kind))
}

/// The id of a cgroup, which is its inode number (cgroup-v2.rst); `None` if there is none of that
/// name now, as of a unit that does not run.
pub fn id(name: &str) -> Result<Option<u64>, Error> {
    let hierarchy = hierarchy()?;
    let path = if is_unit(name) {
        match find_unit(&hierarchy, name) {
            Some(path) => path,
            None => return Ok(None),
        }
    } else {
        hierarchy.join(name.trim_start_matches('/'))
    };
    match fs::metadata(&path) {
        Ok(metadata) => Ok(metadata.is_dir().then(|| metadata.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::path("looking at", &path, error)),
    }
}

/// The topmost cgroup of that name. A unit has one cgroup; containers can have units of the same
/// name further down.
fn find_unit(hierarchy: &Path, name: &str) -> Option<PathBuf> {
    let mut level = vec![hierarchy.to_owned()];
    while !level.is_empty() {
        if let Some(found) = level.iter().map(|at| at.join(name)).find(|at| at.is_dir()) {
            return Some(found);
        }
        level = level.iter().flat_map(|at| children(at)).collect();
    }
    None
}

/// The path of the cgroup with an id, from the root of the hierarchy.
pub fn path_of(id: u64) -> Option<String> {
    let hierarchy = hierarchy().ok()?;
    let path = cgroup::find(&hierarchy, id)?;
    let below = path.strip_prefix(&hierarchy).ok()?.to_str()?;
    Some(format!("/{below}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let mounted = hierarchy().expect("a hierarchy");
        let below = |name: &str| mounted.join(name).display().to_string();
        for (name, kept) in [
            ("nginx.service", "nginx.service"),
            (
                "/system.slice/nginx.service/",
                "/system.slice/nginx.service",
            ),
            ("system.slice/nginx.service", "/system.slice/nginx.service"),
            (&below("a/b"), "/a/b"),
        ] {
            assert_eq!(canonical(name).expect("a name"), kept);
        }
        for name in ["", "/", "..", "/a/../b", &below("")] {
            let error = canonical(name).expect_err("no name");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}");
        }
        assert_eq!(id("/there/is/none").expect("an answer"), None);
        assert_eq!(id("there-is-none.service").expect("an answer"), None);
    }
}
