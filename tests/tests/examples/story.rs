//! What the examples of the bare ABI print.

use std::ops::RangeInclusive;

/// The five lines, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Story {
    /// The process id that the example has from getpid(2).
    pub(crate) pid: u64,
    pub(crate) ports: RangeInclusive<u64>,
    pub(crate) token: u64,
    /// The port to which the stranger was refused.
    pub(crate) refused: u64,
    /// What the kernel part says of the refusal: the port, the owner's process and user.
    pub(crate) conflict: [u64; 3],
    pub(crate) chosen: u64,
    pub(crate) after_release: u64,
}

impl Story {
    #[track_caller]
    pub(crate) fn read(output: &str) -> Self {
        Self::parse(output).unwrap_or_else(|| panic!("not the story: {output}"))
    }

    fn parse(output: &str) -> Option<Self> {
        let lines: [&str; 5] = output.lines().collect::<Vec<_>>().try_into().ok()?;
        let [pid, start, end, token] = numbers("process # reserved ports #-#, token #", lines[0])?;
        // Go writes errors in lower case.
        let refusal = lines[1].to_lowercase();
        let [refused] = numbers(
            "a stranger's bind to port #: address already in use",
            &refusal,
        )?;
        let conflict = numbers("port # is reserved by process #, user #", lines[2])?;
        let [chosen] = numbers("the server's bind to port 0 took port #", lines[3])?;
        let [after_release] = numbers("released: the stranger has port #", lines[4])?;
        let ports = start..=end;
        Some(Self {
            pid,
            ports,
            token,
            refused,
            conflict,
            chosen,
            after_release,
        })
    }
}

/// The numbers that a line has where the pattern has `#`.
fn numbers<const N: usize>(pattern: &str, line: &str) -> Option<[u64; N]> {
    let mut words = pattern.split('#');
    let mut rest = line.strip_prefix(words.next()?)?;
    let mut numbers = Vec::new();
    for word in words {
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        numbers.push(number.parse().ok()?);
        rest = after.strip_prefix(word)?;
    }
    if rest.is_empty() {
        numbers.try_into().ok()
    } else {
        None
    }
}

pub(crate) fn other_output_does_not_match() {
    let output = "process 9 reserved ports 61000-61007, token 1\n\
        a stranger's bind to port 61000: Address already in use\n\
        port 61000 is reserved by process 9, user 0\n\
        the server's bind to port 0 took port 61003\n\
        released: the stranger has port 61000\n";
    let story = Story {
        pid: 9,
        ports: 61000..=61007,
        token: 1,
        refused: 61000,
        conflict: [61000, 9, 0],
        chosen: 61003,
        after_release: 61000,
    };
    assert_eq!(Story::parse(output), Some(story));
    for line in output.lines() {
        assert_eq!(Story::parse(&output.replace(line, "")), None);
        assert_eq!(
            Story::parse(&output.replace(line, &format!("{line} and more"))),
            None
        );
    }
    assert_eq!(
        Story::parse(&output.replace("already in use", "family not supported")),
        None
    );
}
