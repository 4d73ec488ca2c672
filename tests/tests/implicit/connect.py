"""Acquires four ports, and connects associated sockets without binding them."""
import errno
import socket
import struct
import sys

SOL_PORTKEEP, CONFLICT, IN_USE = 0x504B, 2, 2
ACQUIRE, RELEASE, ASSOCIATE = (0x98000000 + code - 2**32 for code in (0x64, 0x65, 0x66))
SERVER, COUNT = int(sys.argv[1]), 4

for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
    for family, host in (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"):
        keeper = socket.socket(family, kind)
        keeper.setsockopt(SOL_PORTKEEP, ACQUIRE, struct.pack("!H", 0) + struct.pack("=H", COUNT))
        value = keeper.getsockopt(SOL_PORTKEEP, ACQUIRE, 16)
        start = int.from_bytes(value[:2], "big")
        block = range(start, start + COUNT)

        def associated():
            new = socket.socket(family, kind)
            new.setsockopt(SOL_PORTKEEP, ASSOCIATE, value[8:])
            return new

        def refused(late):
            try:
                late.connect((host, SERVER))
            except OSError as error:
                return error.errno
            sys.exit(f"connected from {late.getsockname()}")

        connected = [associated() for _ in block]
        for one in connected:
            one.connect((host, SERVER))
        assert sorted(one.getsockname()[1] for one in connected) == list(block)
        late = associated()
        assert refused(late) == errno.EADDRINUSE
        assert late.getsockopt(SOL_PORTKEEP, CONFLICT, 24)[2] == IN_USE
        keeper.close()
        assert refused(late) == errno.EADDRNOTAVAIL
