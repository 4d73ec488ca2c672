//! How many descriptors this process may still open.

use std::fs;

use crate::sys;
use crate::types::{Error, ErrorKind};

/// Refuses more holders than the limit on descriptors (`RLIMIT_NOFILE`) leaves room for, before any
/// port is taken. The limit is the program's business and stays as it is.
pub(super) fn check(holders: usize) -> Result<(), Error> {
    let limit = sys::descriptor_limit().map_err(|error| Error::from_call("getrlimit", error))?;
    // Where it cannot be read the limit itself refuses, when it is met.
    let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    // Four more for what the calls here open in passing.
    if (open + holders + 4) as u64 > limit {
        return Err(Error::new(
            ErrorKind::DescriptorLimit,
            libc::EMFILE,
            format!(
                "holding the ports takes {holders} descriptors, but {open} of at most {limit} \
                 are open already"
            ),
        ));
    }
    Ok(())
}
