"""Two sockets that share a UDP port at all addresses, until they are closed."""
import os
import socket
import sys

PORT = int(os.environ["PORT"])
opened = []
for _ in range(2):
    one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("::", PORT))
    one.settimeout(20)
    opened.append(one)
# Each gets its share: the holder is not among them.
got = set()
while len(got) < 2:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("127.0.0.1", PORT))
        for number, one in enumerate(opened):
            one.setblocking(False)
            try:
                one.recv(9)
                got.add(number)
            except BlockingIOError:
                pass
print("bound", flush=True)
sys.stdin.readline()
for one in opened:
    one.close()
print("closed", flush=True)
sys.stdin.readline()
