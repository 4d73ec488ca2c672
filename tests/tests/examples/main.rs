//! The examples, run by the commands that their README gives, with the kernel part and without.

mod absent;
mod command;
mod compile;
mod enabled;
mod pages;
mod readme;
mod story;
mod tool;

use std::time::Duration;

use portkeep_tests::trials;

/// For what builds a standard library or a crate's dependencies first.
const BUILD: Duration = Duration::from_secs(600);

trials! {
    root:
        enabled::c,
        enabled::python,
        enabled::go => BUILD,
        enabled::the_crate => BUILD,
        pages::python_of_the_readme,
        pages::python_of_the_abi,
        pages::c_of_the_abi,
        pages::go_of_the_abi => BUILD,
        absent::c,
        absent::python,
        absent::go => BUILD,
        absent::the_crate => BUILD;
    plain:
        compile::as_c11,
        compile::as_cpp,
        readme::every_example_has_a_command,
        story::other_output_does_not_match,
        tool::a_missing_one_is_named_with_its_package;
}
