//! Text that others have chosen, made fit for the terminal.

/// The longest text that is shown, in characters.
const LENGTH_MAX: usize = 200;

/// One line without control codes: processes choose their names and arguments freely, also with
/// what the terminal would obey.
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        match character {
            _ if index == LENGTH_MAX => {
                shown.push('…');
                break;
            }
            _ if character.is_control() => shown.extend(character.escape_default()),
            _ => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_codes_are_shown_and_not_sent() {
        assert_eq!(printable("a\x1b[2J\nb ü"), r"a\u{1b}[2J\nb ü");
        assert_eq!(
            printable(&"x".repeat(LENGTH_MAX)).chars().count(),
            LENGTH_MAX
        );
        assert_eq!(
            printable(&"x".repeat(LENGTH_MAX + 1)).chars().last(),
            Some('…')
        );
    }
}
