//! The modules of a crate, and what a path in one of them names.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use syn::{Item, ItemMod, Type, UseTree, Visibility};

use super::conditions::System;

/// The path of a module in its crate.
pub type ModulePath = Vec<String>;

/// What a crate's modules have on one system.
pub struct Crate {
    pub modules: HashMap<ModulePath, Vec<Item>>,
}

/// A name that a module has by `use`.
struct Import {
    name: String,
    path: Vec<String>,
}

impl Crate {
    pub fn read(library: &Path, system: System) -> Result<Crate> {
        let mut this = Crate {
            modules: HashMap::new(),
        };
        let directory = library.parent().context("a library without a folder")?;
        this.read_file(library, directory, Vec::new(), system)?;
        Ok(this)
    }

    fn read_file(
        &mut self,
        file: &Path,
        directory: &Path,
        path: ModulePath,
        system: System,
    ) -> Result<()> {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let parsed =
            syn::parse_file(&text).with_context(|| format!("parsing {}", file.display()))?;
        self.add(parsed.items, directory, path, system)
            .with_context(|| format!("in {}", file.display()))
    }

    fn add(
        &mut self,
        items: Vec<Item>,
        directory: &Path,
        path: ModulePath,
        system: System,
    ) -> Result<()> {
        let mut kept = Vec::new();
        for item in items {
            if !system.has(attributes(&item))? {
                continue;
            }
            if let Item::Mod(module) = &item {
                self.add_module(module, directory, &path, system)?;
            }
            kept.push(item);
        }
        self.modules.insert(path, kept);
        Ok(())
    }

    fn add_module(
        &mut self,
        module: &ItemMod,
        directory: &Path,
        parent: &ModulePath,
        system: System,
    ) -> Result<()> {
        let name = module.ident.to_string();
        let inside = directory.join(&name);
        let path = [parent.as_slice(), std::slice::from_ref(&name)].concat();
        if let Some((_, items)) = &module.content {
            return self.add(items.clone(), &inside, path, system);
        }
        let file = directory.join(format!("{name}.rs"));
        let file = if file.exists() {
            file
        } else {
            inside.join("mod.rs")
        };
        self.read_file(&file, &inside, path, system)
    }

    /// The definitions that `path` names in `module`: a module and a function may share a name.
    pub fn resolve(&self, module: &ModulePath, path: &[String]) -> Vec<(ModulePath, &Item)> {
        let Some((last, before)) = path.split_last() else {
            return Vec::new();
        };
        match self.module_of(module, before) {
            Some(of) => self.named(&of, last, 0),
            None => Vec::new(),
        }
    }

    /// Where a type is defined, and its name there; `None` for one of another crate.
    pub fn definition(&self, module: &ModulePath, of: &Type) -> Option<(ModulePath, String)> {
        let Type::Path(of) = of else {
            return None;
        };
        let found = self.resolve(module, &segments(&of.path));
        found
            .into_iter()
            .find(|(_, item)| matches!(item, Item::Struct(_) | Item::Enum(_)))
            .and_then(|(of, item)| Some((of, item_name(item)?)))
    }

    /// Whether a trait is the crate's own and not public.
    pub fn is_private_trait(&self, module: &ModulePath, of: &syn::Path) -> bool {
        self.resolve(module, &segments(of))
            .into_iter()
            .any(|(_, item)| matches!(item, Item::Trait(item) if !is_public(&item.vis)))
    }

    /// The module that a path leads to, `None` if it leads out of the crate.
    pub fn module_of(&self, module: &ModulePath, path: &[String]) -> Option<ModulePath> {
        let mut at = module.clone();
        for segment in path {
            match segment.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => {
                    at.pop()?;
                }
                name => {
                    let child = [at.as_slice(), &[name.to_owned()]].concat();
                    at = match self.modules.contains_key(&child) {
                        true => child,
                        false => {
                            let import =
                                self.imports(&at).into_iter().find(|it| it.name == name)?;
                            self.module_of(&at, &import.path)?
                        }
                    };
                }
            }
        }
        Some(at)
    }

    fn named(&self, module: &ModulePath, name: &str, depth: usize) -> Vec<(ModulePath, &Item)> {
        let own = self.modules.get(module).into_iter().flatten();
        let mut found: Vec<_> = own
            .filter(|item| item_name(item).as_deref() == Some(name))
            .map(|item| (module.clone(), item))
            .collect();
        // No crate imports in circles; one that did would be listed without the name.
        if depth < 16 {
            for import in self.imports(module) {
                // By its name, or by all of a module.
                let wanted = match import.name.as_str() {
                    "*" => name,
                    own if own == name => import.path.last().map_or(name, String::as_str),
                    _ => continue,
                };
                if let Some((_, before)) = import.path.split_last()
                    && let Some(of) = self.module_of(module, before)
                    && (&of, wanted) != (module, name)
                {
                    found.extend(self.named(&of, wanted, depth + 1));
                }
            }
        }
        found
    }

    fn imports(&self, module: &ModulePath) -> Vec<Import> {
        let mut imports = Vec::new();
        for item in self.modules.get(module).into_iter().flatten() {
            if let Item::Use(item) = item {
                for (name, path) in leaves(&item.tree) {
                    imports.push(Import { name, path });
                }
            }
        }
        imports
    }
}

/// The names that a `use` gives, with the paths behind them. A glob has the name `*`.
pub fn leaves(tree: &UseTree) -> Vec<(String, Vec<String>)> {
    let below = |first: String, tree: &UseTree| {
        leaves(tree)
            .into_iter()
            .map(|(name, path)| {
                let name = if name == "self" { first.clone() } else { name };
                let rest = path.into_iter().filter(|segment| segment != "self");
                (name, [first.clone()].into_iter().chain(rest).collect())
            })
            .collect()
    };
    match tree {
        UseTree::Path(path) => below(path.ident.to_string(), &path.tree),
        UseTree::Name(name) => vec![(name.ident.to_string(), vec![name.ident.to_string()])],
        UseTree::Rename(rename) => {
            vec![(rename.rename.to_string(), vec![rename.ident.to_string()])]
        }
        UseTree::Glob(_) => vec![("*".to_owned(), vec!["*".to_owned()])],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
    }
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments
        .iter()
        .map(|segment| segment.ident.to_string())
        .collect()
}

pub fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

pub fn attributes(item: &Item) -> &[syn::Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn item_name(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Mod(item) => item.ident.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        _ => return None,
    })
}
