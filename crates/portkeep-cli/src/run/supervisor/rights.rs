//! Descriptors that come with a message, unix(7).

use std::os::fd::{FromRawFd as _, OwnedFd};

use nix::sys::socket::{ControlMessageOwned, RecvMsg};

/// The descriptor that came with a message, which must have been received for one at most.
pub fn descriptor<S>(message: &RecvMsg<'_, '_, S>) -> nix::Result<Option<OwnedFd>> {
    Ok(message.cmsgs()?.find_map(|message| match message {
        // SAFETY: the kernel has just made this descriptor, nobody else owns it.
        ControlMessageOwned::ScmRights(descriptors) => descriptors
            .first()
            .map(|number| unsafe { OwnedFd::from_raw_fd(*number) }),
        _ => None,
    }))
}
