"""Ports that sockets of this process hold, where there is no kernel part: for its own sockets only."""

import errno
import random
import socket
from contextlib import suppress
from typing import Dict, List, Tuple

from portkeep._errors import PortkeepError

# Outside of the automatic range, as of the command.
POOL = range(61000, 65536)


def hold(kind: int, port: int) -> socket.socket:
    """A socket at all addresses of both families, or of IPv4 where there is no IPv6."""
    if socket.has_ipv6:
        try:
            holder = socket.socket(socket.AF_INET6, kind)
        except OSError:
            pass
        else:
            try:
                holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                holder.bind(("::", port))
                return holder
            except OSError as error:
                holder.close()
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
    holder = socket.socket(socket.AF_INET, kind)
    try:
        holder.bind(("0.0.0.0", port))
    except BaseException:
        holder.close()
        raise
    return holder


def places(count: int, align: int) -> List[int]:
    """Where a block may start, in the order in which to try."""
    first = -(-POOL.start // align) * align
    starts = range(first, POOL.stop - count + 1, align)
    turn = random.randrange(len(starts)) if starts else 0
    return [*starts[turn:], *starts[:turn]]


class Holders:
    """The same ports of each kind of socket."""

    def __init__(self, kinds: List[int], start: int, count: int, align: int) -> None:
        self._held: Dict[Tuple[int, int], socket.socket] = {}
        for place in [start] if start else places(count, align):
            try:
                for port in range(place, place + count):
                    for kind in kinds:
                        self._held[kind, port] = hold(kind, port)
            except OSError as error:
                self.close()
                if error.errno != errno.EADDRINUSE or start:
                    protocol = "tcp" if kind == socket.SOCK_STREAM else "udp"
                    raise PortkeepError(
                        error.errno, f"port {port}/{protocol}: {error.strerror}"
                    ) from None
            except BaseException:
                self.close()
                raise
            else:
                self.start = place
                return
        raise PortkeepError(errno.EADDRINUSE, f"no block of {count} ports is free")

    def bind(self, own: socket.socket, kind: int, port: int, address: Tuple) -> None:
        """Binds a socket in the place of the one that holds the port. At no time nobody has it."""
        holder = self._held.get((kind, port))
        if holder is None:
            own.bind(address)
            return
        reuses = own.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind(address)
        except BaseException:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            raise
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuses)
        del self._held[kind, port]
        holder.close()

    def close(self) -> None:
        """Lets the ports go."""
        while self._held:
            _, holder = self._held.popitem()
            with suppress(OSError):
                holder.close()
