"""The kernel part, by its socket options. docs/abi.md of Portkeep defines them."""

import errno
import os
import socket
import struct
import sys
from typing import List, NoReturn, Optional, Tuple

from portkeep._errors import PortkeepError

_LEVEL = 0x504B
_VERSION = 1
_CONFLICT = 2
# An option is a C int: these are control codes of Winsock with the highest bit set.
_ACQUIRE = 0x98000064 - 2**32
_RELEASE = 0x98000065 - 2**32
_ASSOCIATE = 0x98000066 - 2**32

PROCESS, TREE, USER = 1, 2, 16

_REQUEST = struct.Struct("=2sHIH6x")
_BLOCK = struct.Struct("=2sHIQ")
_TOKEN = struct.Struct("=Q")
_WHY = struct.Struct("=2sBBIIIQ")

_RESERVED, _IN_USE, _AUTOMATIC, _QUOTA, _NOT_PERMITTED, _CANNOT_TELL, _ENDED = range(1, 8)


def is_enabled() -> bool:
    """Whether the kernel part serves this process."""
    if sys.platform != "linux":
        return False
    try:
        with socket.socket() as asked:
            asked.getsockopt(_LEVEL, _VERSION, 4)
    except OSError:
        return False
    return True


class Block:
    """Consecutive ports of one protocol."""

    def __init__(self, kind: int, start: int, count: int, flags: int, align: int) -> None:
        holder = socket.socket(socket.AF_INET, kind)
        try:
            request = _REQUEST.pack(start.to_bytes(2, "big"), count, flags, align)
            try:
                holder.setsockopt(_LEVEL, _ACQUIRE, request)
            except OSError as error:
                _refused(holder, error, kind, start, count)
            # What this thread acquired last on this socket.
            block = holder.getsockopt(_LEVEL, _ACQUIRE, _BLOCK.size)
        except BaseException:
            holder.close()
            raise
        first, self.count, _, self.token = _BLOCK.unpack(block)
        self.start = int.from_bytes(first, "big")
        self.holder = holder
        self._pid = os.getpid()

    def associate(self, own: socket.socket) -> None:
        """Lets a socket bind in the block."""
        own.setsockopt(_LEVEL, _ASSOCIATE, _TOKEN.pack(self.token))

    def close(self) -> None:
        """Ends the reservation; in a child after a fork only its copy of it."""
        if self.holder.fileno() != -1 and os.getpid() == self._pid:
            try:
                # Children may have copies of the socket.
                self.holder.setsockopt(_LEVEL, _RELEASE, _TOKEN.pack(self.token))
            except OSError:
                pass
        self.holder.close()


def acquire(
    kinds: List[int], start: int, count: int, flags: int, align: int
) -> List[Block]:
    """Reserves the same ports of each kind of socket; ``start`` 0 is any."""
    if start or len(kinds) == 1:
        return _each(kinds, start, count, flags, align)
    # A port that one protocol refuses stays reserved in the other meanwhile, so that each round gets
    # others.
    passed: List[Block] = []
    try:
        while True:
            block = Block(kinds[0], 0, count, flags, align)
            try:
                return [block, *_each(kinds[1:], block.start, count, flags, align)]
            except PortkeepError as error:
                passed.append(block)
                if error.errno != errno.EADDRINUSE:
                    raise
            except BaseException:
                passed.append(block)
                raise
    finally:
        for block in passed:
            block.close()


def _each(kinds: List[int], start: int, count: int, flags: int, align: int) -> List[Block]:
    blocks: List[Block] = []
    try:
        for kind in kinds:
            blocks.append(Block(kind, start, count, flags, align))
    except BaseException:
        for block in blocks:
            block.close()
        raise
    return blocks


def _refused(
    holder: socket.socket, error: OSError, kind: int, start: int, count: int
) -> NoReturn:
    protocol = "tcp" if kind == socket.SOCK_STREAM else "udp"
    conflict = _conflict(holder)
    if conflict is None:
        raise PortkeepError(error.errno, f"cannot reserve ports: {error.strerror}") from None
    port, why, pid, uid = conflict
    name = f"port {port}/{protocol}"
    if why == _RESERVED:
        owner = f" by process {pid}, user {uid}" if pid else ""
        text = f"{name} is reserved{owner}"
    elif why == _IN_USE:
        text = f"{name} is in use by a socket of user {uid}"
    elif why == _AUTOMATIC:
        text = (
            f"{name} is an automatic port, which connect() may take\n"
            "Hint: have it excluded (portkeep exclude), or take a port outside of "
            "net.ipv4.ip_local_port_range"
        )
    elif why == _QUOTA:
        text = "the user's quota of ports is used up"
    elif why == _NOT_PERMITTED:
        text = f"{name} is for privileged processes"
    else:
        text = f"{name}: {error.strerror}"
    if not port and why in (_RESERVED, _IN_USE):
        text = f"no block of {count} ports is free for {protocol}"
    raise PortkeepError(error.errno, text) from None


def _conflict(holder: socket.socket) -> Optional[Tuple[int, int, int, int]]:
    try:
        value = holder.getsockopt(_LEVEL, _CONFLICT, _WHY.size)
    except OSError:
        return None
    port, why, _, pid, uid, _, _ = _WHY.unpack(value)
    return (int.from_bytes(port, "big"), why, pid, uid) if why else None
