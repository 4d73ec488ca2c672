//! The documentation: what it names is there.

mod links;
mod pages;
mod trials;

use portkeep_tests::trials;

trials! {
    plain:
        links::lead_somewhere,
        links::the_book_has_every_page,
        trials::that_are_named_exist,
        trials::one_that_does_not_exist_is_noticed;
}
