"""Binds to a port and closes it, a thousand times, at one address after the other, of one family only if
that is told."""
import errno
import os
import socket
import sys

KIND = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[sys.argv[1]]
PORT = int(os.environ["PORT"])
ADDRESSES = (
    (socket.AF_INET, "127.0.0.1"),
    (socket.AF_INET6, "::"),
    (socket.AF_INET6, "::1"),
    (socket.AF_INET, "0.0.0.0"),
)
FAMILIES = {"4": [socket.AF_INET], "6": [socket.AF_INET6]}.get("".join(sys.argv[2:]))
PLACES = [place for place in ADDRESSES if not FAMILIES or place[0] in FAMILIES]
refused = 0
sys.stdin.readline()
for number in range(1000):
    family, address = PLACES[number % len(PLACES)]
    with socket.socket(family, KIND) as opened:
        try:
            opened.bind((address, PORT))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            refused += 1
            continue
        if KIND == socket.SOCK_STREAM:
            opened.listen()
        # What was set for the moment of the bind is as it was.
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT, 62):  # SO_BINDTOIFINDEX
            assert opened.getsockopt(socket.SOL_SOCKET, option) == 0, option
print("done", *([refused] if refused else []), flush=True)
sys.stdin.readline()
