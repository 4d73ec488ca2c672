//! Which items a system has, by `#[cfg]`.

use anyhow::{Context, Result, bail};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, Meta, Token};

/// A kind of system that the libraries differ on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Linux,
    Windows,
    /// macOS, as an example of the others.
    Elsewhere,
}

impl System {
    pub const ALL: [System; 3] = [System::Linux, System::Windows, System::Elsewhere];

    pub fn name(self) -> &'static str {
        match self {
            System::Linux => "linux",
            System::Windows => "windows",
            System::Elsewhere => "elsewhere",
        }
    }

    /// Whether an item with these attributes is there. Features are on.
    pub fn has(self, attributes: &[Attribute]) -> Result<bool> {
        for attribute in attributes {
            if attribute.path().is_ident("cfg") {
                let condition = attribute.parse_args().context("reading a cfg")?;
                if !self.holds(&condition)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn holds(self, condition: &Meta) -> Result<bool> {
        let name = condition
            .path()
            .get_ident()
            .context("a cfg without a name")?
            .to_string();
        Ok(match (name.as_str(), condition) {
            ("any" | "all" | "not", Meta::List(list)) => {
                let parts = list
                    .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                    .context("reading a cfg")?
                    .iter()
                    .map(|part| self.holds(part))
                    .collect::<Result<Vec<bool>>>()?;
                match name.as_str() {
                    "any" => parts.contains(&true),
                    "all" => !parts.contains(&false),
                    _ => parts.contains(&false),
                }
            }
            ("target_os", Meta::NameValue(value)) => {
                let Expr::Lit(ExprLit {
                    lit: Lit::Str(wanted),
                    ..
                }) = &value.value
                else {
                    bail!("a target_os that is not a string");
                };
                match self {
                    System::Elsewhere => wanted.value() == "macos",
                    system => wanted.value() == system.name(),
                }
            }
            ("unix", _) => self != System::Windows,
            ("windows", _) => self == System::Windows,
            ("feature", _) => true,
            ("test" | "doc", _) => false,
            _ => bail!("a cfg by `{name}`, which `cargo xtask api` does not know"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() -> Result<()> {
        for (condition, systems) in [
            ("unix", "linux elsewhere"),
            ("not(unix)", "windows"),
            (r#"target_os = "linux""#, "linux"),
            (r#"any(target_os = "linux", windows)"#, "linux windows"),
            (r#"not(any(target_os = "linux", windows))"#, "elsewhere"),
            (r#"all(test, target_os = "linux")"#, ""),
        ] {
            let parsed = syn::parse_str(condition)?;
            let mut having = Vec::new();
            for system in System::ALL {
                if system.holds(&parsed)? {
                    having.push(system.name());
                }
            }
            assert_eq!(having.join(" "), systems, "{condition}");
        }
        assert!(System::Linux.holds(&syn::parse_str("weather")?).is_err());
        Ok(())
    }
}
