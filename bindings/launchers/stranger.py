"""Starts a model server, and tries to take its ports while its model is loaded: it must not get them."""

import errno
import socket
import subprocess
import sys
import urllib.request


def bind(port):
    """0 or the errno."""
    with socket.socket() as own:
        # For the end, when a connection of the server lingers.
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno
    return 0


server = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
said = server.stdout.readline().split()
assert said[0] == "loads", said
ports = [int(port) for port in said[1:]]
# Both are chosen, and nothing is bound yet.
assert [bind(port) for port in ports] == [errno.EADDRINUSE] * 2
server.stdin.write("loaded\n")
server.stdin.flush()
assert server.stdout.readline() == "serves\n"
with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/health") as answer:
    assert answer.read() == b"serves"
assert server.wait() == 0
assert [bind(port) for port in ports] == [0, 0]
print("served at", *ports)
