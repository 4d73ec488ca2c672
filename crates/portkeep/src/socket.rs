//! A socket, by the name that the standard library has for it on this system.

#[cfg(unix)]
pub(crate) use std::os::fd::{
    AsFd as AsSocket, BorrowedFd as BorrowedSocket, OwnedFd as OwnedSocket,
};
#[cfg(windows)]
pub(crate) use std::os::windows::io::{AsSocket, BorrowedSocket, OwnedSocket};

#[cfg(unix)]
pub(crate) fn borrow(socket: &impl AsSocket) -> BorrowedSocket<'_> {
    socket.as_fd()
}

#[cfg(windows)]
pub(crate) fn borrow(socket: &impl AsSocket) -> BorrowedSocket<'_> {
    socket.as_socket()
}
