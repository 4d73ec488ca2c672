//! Writes the man pages and completions for packages, from the definition of the command line.
//! `cargo xtask dist` adds examples to the pages.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use clap::{Arg, ArgAction, Command};
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;

/// The section of commands for administrators.
const SECTION: &str = "8";

/// Starts the paragraph of a help text that has a heading of its own in a man page.
const EXIT_STATUS: &str = "Exit status: ";

/// Writes a page for the program and one for each of its commands, and a file for each shell.
pub fn write(directory: &Path, mut definition: Command) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let program = definition.get_name().to_owned();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut definition.clone(), &program, directory)?;
    }
    definition.build();
    let exit_status = exit_status(&definition).unwrap_or_default();
    pages(directory, program, &definition, &exit_status)
}

/// The page of a command, and of all below it.
fn pages(directory: &Path, name: String, command: &Command, exit_status: &str) -> io::Result<()> {
    let command = command.clone().disable_help_subcommand(true);
    for below in command
        .get_subcommands()
        .filter(|it| it.get_name() != "help")
    {
        let name = format!("{name}-{}", below.get_name());
        pages(directory, name, below, exit_status)?;
    }
    page(directory, name, &command, exit_status)
}

fn page(directory: &Path, name: String, command: &Command, exit_status: &str) -> io::Result<()> {
    let mut file = File::create(directory.join(format!("{name}.{SECTION}")))?;
    let own = self::exit_status(command);
    let notes = paragraphs(command);
    let notes = notes.iter().filter(|text| !text.starts_with(EXIT_STATUS));
    let man = Man::new(
        command
            .clone()
            .override_usage(synopsis(command))
            .display_name(&name)
            // The definition requires names that live as long as the program.
            .name(&*name.leak()),
    )
    .section(SECTION)
    .manual("Portkeep")
    .source(concat!("Portkeep ", env!("CARGO_PKG_VERSION")))
    // Without the date of the build, so that builds are reproducible.
    .date("");
    man.render_title(&mut file)?;
    man.render_name_section(&mut file)?;
    man.render_synopsis_section(&mut file)?;
    man.render_description_section(&mut file)?;
    man.render_options_section(&mut file)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut file)?;
    }
    section(&mut file, "NOTES", notes)?;
    let own = own.as_deref().unwrap_or(exit_status);
    section(&mut file, "EXIT STATUS", [&own.to_owned()])
}

/// The options with their values, and the arguments. portkeep(8) documents those of the locations.
fn synopsis(command: &Command) -> String {
    let mut words = vec![command.get_bin_name().unwrap_or("portkeep").to_owned()];
    let (positional, options): (Vec<_>, Vec<_>) = command
        .get_arguments()
        .filter(|it| !["help", "version"].contains(&it.get_id().as_str()))
        .partition(|it| it.is_positional());
    let is_main = command.has_subcommands();
    for option in options {
        if is_main || option.get_help_heading() != Some("Locations") {
            words.push(in_synopsis(option));
        }
    }
    for argument in positional {
        let dashes = if argument.is_last_set() { "-- " } else { "" };
        words.push(format!("{dashes}{}", value_of(argument)));
    }
    if is_main {
        words.push("COMMAND [ARGUMENT]...".to_owned());
    }
    words.join(" ")
}

fn in_synopsis(option: &Arg) -> String {
    let long = option.get_long().unwrap_or_default();
    let value = match option.get_action() {
        ArgAction::Set | ArgAction::Append => format!(" {}", value_of(option)),
        _ => String::new(),
    };
    let again = match option.get_action() {
        ArgAction::Append => "...",
        _ => "",
    };
    match option.is_required_set() {
        true => format!("--{long}{value}{again}"),
        false => format!("[--{long}{value}]{again}"),
    }
}

fn value_of(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let name = names.first().map_or("", |name| name.as_str());
    let several = argument
        .get_num_args()
        .is_some_and(|it| it.max_values() > 1);
    format!("{name}{}", if several { "..." } else { "" })
}

/// The text after the options in the help.
fn paragraphs(command: &Command) -> Vec<String> {
    let text = command.get_after_long_help();
    let text = text.or(command.get_after_help()).map(ToString::to_string);
    let text = text.unwrap_or_default();
    text.split("\n\n").map(str::to_owned).collect()
}

fn exit_status(command: &Command) -> Option<String> {
    let paragraphs = paragraphs(command);
    let mut found = paragraphs
        .iter()
        .filter_map(|it| it.strip_prefix(EXIT_STATUS));
    found.next().map(str::to_owned)
}

fn section<'a>(
    file: &mut File,
    heading: &str,
    paragraphs: impl IntoIterator<Item = &'a String>,
) -> io::Result<()> {
    for (index, text) in paragraphs
        .into_iter()
        .filter(|text| !text.trim().is_empty())
        .enumerate()
    {
        match index {
            0 => writeln!(file, ".SH \"{heading}\"")?,
            _ => writeln!(file, ".PP")?,
        }
        for line in text.lines() {
            let line = line.trim().replace('\\', "\\e").replace('-', "\\-");
            // A line that starts with one of these is a roff request.
            let guard = if line.starts_with(['.', '\'']) {
                "\\&"
            } else {
                ""
            };
            writeln!(file, "{guard}{line}")?;
        }
    }
    Ok(())
}
