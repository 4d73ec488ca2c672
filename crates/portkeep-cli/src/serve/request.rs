//! What a client asks.

/// A process id takes no more; portserver reads as much.
const LENGTH_MAX: usize = 20;

/// The bytes that one client has sent so far.
#[derive(Debug, Default)]
pub struct Request {
    bytes: [u8; 32],
    length: usize,
    is_over: bool,
}

/// What the bytes come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// There may be more to come.
    Incomplete,
    /// Nothing: the client only wanted to know whether anybody listens.
    Nothing,
    /// A port for this process.
    Process(i64),
    /// No number.
    Garbage,
}

impl Request {
    /// Where further bytes go; not empty before the request is complete.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[self.length..]
    }

    /// Takes what was read into the space.
    pub fn add(&mut self, length: usize) {
        self.length += length;
    }

    /// No more will come, or will be waited for.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    pub fn asked(&self) -> Asked {
        let bytes = &self.bytes[..self.length];
        let line = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) => &bytes[..end],
            None if self.is_over && bytes.is_empty() => return Asked::Nothing,
            None if self.is_over || bytes.len() > LENGTH_MAX => bytes,
            None => return Asked::Incomplete,
        };
        let text = line.trim_ascii();
        let number = std::str::from_utf8(text).ok();
        match number
            .filter(|text| text.len() <= LENGTH_MAX)
            .map(str::parse)
        {
            Some(Ok(pid)) => Asked::Process(pid),
            _ => Asked::Garbage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &[u8], is_over: bool) -> Asked {
        let mut request = Request::default();
        request.space()[..text.len()].copy_from_slice(text);
        request.add(text.len());
        if is_over {
            request.end();
        }
        request.asked()
    }

    #[test]
    fn a_number_and_a_newline() {
        for text in [
            b"42\n".as_slice(),
            b" 42 \n",
            b"42\r\n",
            b"+42\n",
            b"42\nrest",
        ] {
            assert_eq!(asked(text, false), Asked::Process(42));
        }
        assert_eq!(asked(b"-1\n", false), Asked::Process(-1));
        assert_eq!(asked(b"42", false), Asked::Incomplete);
        assert_eq!(asked(b"42", true), Asked::Process(42));
    }

    #[test]
    fn anything_else() {
        assert_eq!(asked(b"", true), Asked::Nothing);
        assert_eq!(asked(b"", false), Asked::Incomplete);
        for text in [
            b"\n".as_slice(),
            b"x\n",
            b"4 2\n",
            b"\xff\n",
            &[b'9'; 32],
            &[b'9'; 20],
        ] {
            assert_eq!(asked(text, true), Asked::Garbage);
        }
        assert_eq!(asked(&[b'9'; 21], false), Asked::Garbage);
        assert_eq!(asked(&[b' '; 21], false), Asked::Garbage);
    }
}
