//! The lines of a listing.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use quote::ToTokens;
use syn::{Attribute, Fields, GenericArgument, ImplItem, Item, PathArguments, TraitItem, Type};

use super::source::{Crate, ModulePath, attributes, is_public, leaves};

/// What is reachable by `pub`, one line each.
pub fn of(source: &Crate, name: &str) -> Result<BTreeSet<String>> {
    let mut listing = Listing {
        source,
        lines: BTreeSet::new(),
    };
    listing.module(&Vec::new(), name)?;
    Ok(listing.lines)
}

struct Listing<'a> {
    source: &'a Crate,
    lines: BTreeSet<String>,
}

impl Listing<'_> {
    fn module(&mut self, path: &ModulePath, shown: &str) -> Result<()> {
        for item in self.source.modules.get(path).into_iter().flatten() {
            match item {
                Item::Use(item) if is_public(&item.vis) => {
                    for (name, target) in leaves(&item.tree) {
                        self.import(path, &name, &target, shown)?;
                    }
                }
                Item::Macro(item) if item.ident.is_none() => {
                    bail!("{shown}: items that a macro makes cannot be listed");
                }
                item => self.item(path, item, None, shown)?,
            }
        }
        Ok(())
    }

    fn import(
        &mut self,
        module: &ModulePath,
        name: &str,
        target: &[String],
        shown: &str,
    ) -> Result<()> {
        if name == "*" {
            return self.everything(module, target, shown);
        }
        let found = self.source.resolve(module, target);
        if found.is_empty() {
            // Out of another crate.
            self.lines
                .insert(format!("pub use {shown}::{name} = {}", target.join("::")));
        }
        for (of, item) in found {
            self.item(&of, item, Some(name), shown)?;
        }
        Ok(())
    }

    /// `pub use module::*` of a module of the crate.
    fn everything(&mut self, module: &ModulePath, target: &[String], shown: &str) -> Result<()> {
        let of = target
            .split_last()
            .and_then(|(_, before)| self.source.module_of(module, before))
            .filter(|of| self.source.modules.contains_key(of));
        match of {
            Some(of) => self.module(&of, shown),
            None => bail!("{shown}: `pub use ...::*` of another crate hides what is public"),
        }
    }

    /// Lists an item that is public where it is; `name` is another name for it.
    fn item(
        &mut self,
        module: &ModulePath,
        item: &Item,
        name: Option<&str>,
        shown: &str,
    ) -> Result<()> {
        let (visibility, own) = match item {
            Item::Const(item) => (&item.vis, &item.ident),
            Item::Enum(item) => (&item.vis, &item.ident),
            Item::Fn(item) => (&item.vis, &item.sig.ident),
            Item::Mod(item) => (&item.vis, &item.ident),
            Item::Static(item) => (&item.vis, &item.ident),
            Item::Struct(item) => (&item.vis, &item.ident),
            Item::Trait(item) => (&item.vis, &item.ident),
            Item::Type(item) => (&item.vis, &item.ident),
            _ => return Ok(()),
        };
        if !is_public(visibility) || is_hidden(attributes(item)) {
            return Ok(());
        }
        let path = format!(
            "{shown}::{}",
            name.map_or_else(|| own.to_string(), str::to_owned)
        );
        let head = prefix(attributes(item));
        match item {
            Item::Const(item) => {
                let line = format!("const {path}: {} = {}", text(&item.ty), text(&item.expr));
                self.add(&head, &line);
            }
            Item::Static(item) => self.add(&head, &format!("static {path}: {}", text(&item.ty))),
            Item::Type(item) => self.add(&head, &format!("type {path} = {}", text(&item.ty))),
            Item::Fn(item) => self.add(&head, &signature(&item.sig, &path)),
            Item::Mod(item) => {
                self.add(&head, &format!("mod {path}"));
                let inside = [module.as_slice(), &[item.ident.to_string()]].concat();
                self.module(&inside, &path)?;
            }
            Item::Struct(item) => {
                self.add(&head, &format!("struct {path}{}", text(&item.generics)));
                self.fields(&item.fields, &path, true);
                self.implementations(&(module.clone(), own.to_string()), &path, &item.attrs);
            }
            Item::Enum(item) => {
                self.add(&head, &format!("enum {path}{}", text(&item.generics)));
                for variant in &item.variants {
                    let path = format!("{path}::{}", variant.ident);
                    self.add(&prefix(&variant.attrs), &path);
                    self.fields(&variant.fields, &path, false);
                }
                self.implementations(&(module.clone(), own.to_string()), &path, &item.attrs);
            }
            Item::Trait(item) => {
                self.add(
                    &head,
                    &format!(
                        "trait {path}{}: {}",
                        text(&item.generics),
                        text(&item.supertraits)
                    ),
                );
                for method in &item.items {
                    if let TraitItem::Fn(method) = method {
                        let path = format!("{path}::{}", method.sig.ident);
                        self.add("", &signature(&method.sig, &path));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, head: &str, line: &str) {
        self.lines.insert(format!("{line}{head}"));
    }

    /// Those of an enum are public without `pub`.
    fn fields(&mut self, fields: &Fields, path: &str, need_pub: bool) {
        for (index, field) in fields.iter().enumerate() {
            if need_pub && !is_public(&field.vis) {
                continue;
            }
            let name = match &field.ident {
                Some(name) => name.to_string(),
                None => index.to_string(),
            };
            self.add("", &format!("{path}.{name}: {}", text(&field.ty)));
        }
    }

    /// What the crate implements for a type, anywhere, and for types of other crates by way of it, as
    /// `From` it.
    fn implementations(
        &mut self,
        of_type: &(ModulePath, String),
        path: &str,
        attributes: &[Attribute],
    ) {
        for derived in derives(attributes) {
            self.add("", &format!("impl {derived} for {path}"));
        }
        let source = self.source;
        let all = source
            .modules
            .iter()
            .flat_map(|(module, items)| items.iter().map(move |item| (module, item)));
        for (module, item) in all {
            let Item::Impl(item) = item else {
                continue;
            };
            let own = source.definition(module, &item.self_ty);
            let is_it = own.as_ref() == Some(of_type);
            if let Some((_, of, _)) = &item.trait_ {
                let parameter = parameter(of).and_then(|it| source.definition(module, it));
                if source.is_private_trait(module, of) {
                } else if is_it {
                    self.add("", &format!("impl {} for {path}", text(of)));
                } else if own.is_none() && parameter.as_ref() == Some(of_type) {
                    self.add(
                        "",
                        &format!("impl {} for {}", text(of), text(&item.self_ty)),
                    );
                }
                continue;
            }
            if !is_it {
                continue;
            }
            for member in &item.items {
                match member {
                    ImplItem::Fn(method) if is_public(&method.vis) && !is_hidden(&method.attrs) => {
                        let line = signature(&method.sig, &format!("{path}::{}", method.sig.ident));
                        self.add(&prefix(&method.attrs), &line);
                    }
                    ImplItem::Const(one) if is_public(&one.vis) && !is_hidden(&one.attrs) => {
                        let line = format!("const {path}::{}: {}", one.ident, text(&one.ty));
                        self.add(&prefix(&one.attrs), &line);
                    }
                    _ => {}
                }
            }
        }
    }
}

fn signature(signature: &syn::Signature, path: &str) -> String {
    let mut plain = signature.clone();
    // The names of arguments are nobody's business, those with a leading _ least of all.
    for input in &mut plain.inputs {
        if let syn::FnArg::Receiver(receiver) = input
            && receiver.reference.is_none()
        {
            receiver.mutability = None;
        }
        if let syn::FnArg::Typed(argument) = input
            && let syn::Pat::Ident(name) = argument.pat.as_mut()
        {
            name.mutability = None;
            let bare = name.ident.to_string();
            name.ident = quote::format_ident!("{}", bare.trim_start_matches('_'));
        }
    }
    let whole = text(&plain);
    whole.replacen(&format!("fn {}", signature.ident), &format!("fn {path}"), 1)
}

fn prefix(attributes: &[Attribute]) -> String {
    let mut words = String::new();
    for attribute in attributes {
        for name in ["non_exhaustive", "must_use", "deprecated"] {
            if attribute.path().is_ident(name) {
                words.push_str(&format!("  #[{name}]"));
            }
        }
        if attribute.path().is_ident("repr") {
            words.push_str(&format!("  {}", text(attribute)));
        }
    }
    words
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"))
        .any(|attribute| text(attribute).contains("(hidden)"))
}

fn derives(attributes: &[Attribute]) -> Vec<String> {
    let mut names = Vec::new();
    for attribute in attributes {
        if attribute.path().is_ident("derive") {
            let _ = attribute.parse_nested_meta(|meta| {
                names.push(text(&meta.path));
                Ok(())
            });
        }
    }
    names
}

/// The type that is a trait's parameter, as of `From<Error>`.
fn parameter(of: &syn::Path) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &of.segments.last()?.arguments else {
        return None;
    };
    match arguments.args.first()? {
        GenericArgument::Type(of) => Some(of),
        _ => None,
    }
}

/// Tokens with spaces as rustfmt sets them, about.
fn text(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        ("& ", "&"),
        (" ,", ","),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" :", ":"),
        (" ;", ";"),
        (" [", "["),
        ("[ ", "["),
        (" ]", "]"),
        ("# [", "#["),
        (",)", ")"),
        ("- >", "->"),
    ] {
        text = text.replace(from, to);
    }
    text.replace("->", " -> ").replace("  ", " ")
}
