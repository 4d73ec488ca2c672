//! What each package of a program has: the program, man pages, completions, and what its licenses ask for.

use anyhow::Result;

use super::manual::Manual;
use super::package::{Format, Package};
use super::{Program, Shared};

pub fn add(
    shared: &Shared<'_>,
    package: &mut Package,
    program: &Program,
    manual: &Manual,
) -> Result<()> {
    let name = program.name;
    let documents = documents(package);
    let tree = &package.tree;
    tree.file(&program.path, &format!("/usr/bin/{name}"), 0o755)?;
    manual.add_pages(tree, "/usr/share/man/man8")?;
    let zsh = match package.format {
        Format::Deb => "/usr/share/zsh/vendor-completions",
        Format::Rpm => "/usr/share/zsh/site-functions",
    };
    let places = [
        format!("/usr/share/bash-completion/completions/{name}"),
        format!("{zsh}/_{name}"),
        format!("/usr/share/fish/vendor_completions.d/{name}.fish"),
    ];
    for (from, to) in manual.completions().iter().zip(places) {
        tree.file(from, &to, 0o644)?;
    }
    tree.compressed(&program.licenses, &format!("{documents}/third-party.gz"))?;
    tree.file(
        &shared.kernel_part,
        &format!("{documents}/kernel-part.tar.xz"),
        0o644,
    )?;
    package.depends.push(match package.format {
        Format::Deb => "libc6 (>= 2.17)".to_owned(),
        Format::Rpm => "glibc >= 2.17".to_owned(),
    });
    Ok(())
}

/// Where documents of a package are.
pub fn documents(package: &Package) -> String {
    let directory = match package.format {
        Format::Deb => "/usr/share/doc",
        Format::Rpm => "/usr/share/licenses",
    };
    format!("{directory}/{}", package.name)
}
