//! `portkeep serve` and `portkeep run --serve`.

fn main() {}
