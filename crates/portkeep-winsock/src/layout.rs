//! The layouts that Windows' headers give the structures, held against those here.

use std::mem::{align_of, offset_of, size_of};

use crate::message::Buffer;
use crate::operation::{Instance, PortRange};
use crate::overlapped::Overlapped;
use crate::port::Entry;
use crate::startup::StartupData;
use crate::thread::ThreadName;

const POINTER: usize = size_of::<usize>();

const _: () = {
    assert!(size_of::<PortRange>() == 4 && align_of::<PortRange>() == 2);
    assert!(offset_of!(PortRange, start) == 0);
    assert!(offset_of!(PortRange, count) == 2);

    assert!(size_of::<Instance>() == 16 && align_of::<Instance>() == 8);
    assert!(offset_of!(Instance, range) == 0);
    assert!(offset_of!(Instance, token) == 8);

    assert!(size_of::<Overlapped>() == 3 * POINTER + 8);
    assert!(offset_of!(Overlapped, internal) == 0);
    assert!(offset_of!(Overlapped, internal_high) == POINTER);
    assert!(offset_of!(Overlapped, offset) == 2 * POINTER);
    assert!(offset_of!(Overlapped, offset_high) == 2 * POINTER + 4);
    assert!(offset_of!(Overlapped, event) == 2 * POINTER + 8);

    assert!(size_of::<Buffer>() == 2 * POINTER);
    assert!(offset_of!(Buffer, start) == POINTER);

    assert!(size_of::<Entry>() == 4 * POINTER);
    assert!(offset_of!(Entry, bytes) == 3 * POINTER);

    assert!(size_of::<ThreadName>() == 2 * POINTER);

    assert!(size_of::<StartupData>() == if POINTER == 8 { 408 } else { 400 });
};
