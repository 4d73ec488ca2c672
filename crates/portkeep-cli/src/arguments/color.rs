//! The option that says whether to use colors.

use std::env;
use std::io::{self, IsTerminal as _};

use clap::builder::styling::{AnsiColor, Style};
use clap::{Args, ColorChoice};

/// Colors, for people.
#[derive(Debug, Args)]
pub struct ColorArgument {
    /// Use colors; auto does so on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    color: ColorChoice,
}

impl ColorArgument {
    /// Whether standard output is to have colors (<https://no-color.org>).
    pub fn is_on(&self) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
                let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
                io::stdout().is_terminal() && !is_dumb && !is_set("NO_COLOR")
            }
        }
    }
}

pub const HEADING: Style = Style::new().bold();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const ODD: Style = AnsiColor::Yellow.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const LASTING: Style = AnsiColor::Cyan.on_default();
pub const FAINT: Style = Style::new().dimmed();
