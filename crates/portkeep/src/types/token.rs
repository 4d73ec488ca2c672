use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use super::parse_error::ParseError;

/// The kernel's name for a reservation. It is written as a decimal number.
///
/// A token is no secret and no right: only the owning process may release it or associate sockets
/// with it.
#[doc(alias = "INET_PORT_RESERVATION_TOKEN")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(NonZeroU64);

impl Token {
    /// The token with this number; `None` for 0, which is no token.
    pub const fn from_raw(raw: u64) -> Option<Token> {
        match NonZeroU64::new(raw) {
            Some(raw) => Some(Token(raw)),
            None => None,
        }
    }

    /// The token's number.
    pub const fn as_raw(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Token {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Token, ParseError> {
        // Rust's parser for integers also takes a plus sign.
        if text.starts_with('+') {
            return Err(ParseError::Token);
        }
        text.parse().map(Token).map_err(|_| ParseError::Token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        let last = Token::from_raw(u64::MAX).expect("not 0");
        assert_eq!(last.to_string(), "18446744073709551615");
        assert_eq!(last.to_string().parse(), Ok(last));
        for text in ["", "0", "+1", "-1", "1 ", "18446744073709551616"] {
            assert_eq!(text.parse::<Token>(), Err(ParseError::Token), "{text:?}");
        }
    }

    #[test]
    fn an_option_costs_nothing() {
        assert_eq!(size_of::<Option<Token>>(), 8);
        assert_eq!(Token::from_raw(0), None);
    }
}
