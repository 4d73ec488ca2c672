#!/usr/bin/env python3
"""Reserves a block of eight TCP ports, shows that a stranger cannot bind in it,
binds a socket of its own there, and gives the block back.

The socket options and their values are those of bpf/portkeep.h.

    python3 examples/python/reserve.py
"""

import errno
import os
import socket
import struct
import sys

SOL_PORTKEEP = 0x504B
# An option is a C int: these two are control codes of Winsock with the highest bit set.
PORTKEEP_ACQUIRE = 0x98000064 - 2**32
PORTKEEP_ASSOCIATE = 0x98000066 - 2**32
PORTKEEP_CONFLICT = 2
PORTKEEP_CONFLICT_RESERVED = 1

# "=": host byte order without padding. Ports alone are in network byte order,
# as in a sockaddr: they go through htons and ntohs.
RANGE = struct.Struct("=HH")  # start, count
INSTANCE = struct.Struct("=HHIQ")  # start, count, 0, token
CONFLICT = struct.Struct("=HBBIIIQ")  # port, kind, protocol, pid, uid, 0, since
TOKEN = struct.Struct("=Q")


def reserve(holder, count):
    """Reserves ports for as long as the socket is open: their start, count and token."""
    # Start 0 asks for any free block.
    wanted = RANGE.pack(socket.htons(0), count)
    holder.setsockopt(SOL_PORTKEEP, PORTKEEP_ACQUIRE, wanted)
    # Reads what this very thread acquired last on this socket.
    block = holder.getsockopt(SOL_PORTKEEP, PORTKEEP_ACQUIRE, INSTANCE.size)
    start, count, _, token = INSTANCE.unpack(block)
    return socket.ntohs(start), count, token


def show_refusal(stranger, port):
    try:
        stranger.bind(("127.0.0.1", port))
    except OSError as error:
        print(f"a stranger's bind to port {port}: {error.strerror}")
    else:
        sys.exit(f"error: a stranger took port {port}")

    conflict = stranger.getsockopt(SOL_PORTKEEP, PORTKEEP_CONFLICT, CONFLICT.size)
    port, kind, _, pid, uid, _, _ = CONFLICT.unpack(conflict)
    if kind == PORTKEEP_CONFLICT_RESERVED:
        print(f"port {socket.ntohs(port)} is reserved by process {pid}, user {uid}")


def main():
    holder, stranger, server = socket.socket(), socket.socket(), socket.socket()
    with holder, stranger, server:
        start, count, token = reserve(holder, 8)
        print(f"process {os.getpid()} reserved ports {start}-{start + count - 1}, token {token}")

        # Any socket that is not associated is a stranger, be it of the same process.
        show_refusal(stranger, start)

        # Associated with the token, a socket may bind in the block; to port 0, to any port of it.
        server.setsockopt(SOL_PORTKEEP, PORTKEEP_ASSOCIATE, TOKEN.pack(token))
        server.bind(("127.0.0.1", 0))
        print(f"the server's bind to port 0 took port {server.getsockname()[1]}")

        # A server that is bound keeps its port when the reservation ends: close it too.
        server.close()
        holder.close()
        stranger.bind(("127.0.0.1", start))
        print(f"released: the stranger has port {stranger.getsockname()[1]}")


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        if error.errno == errno.ENOPROTOOPT:
            sys.exit("error: Portkeep is not enabled here\nHint: run `portkeep enable` as root")
        sys.exit(f"error: {error}")
