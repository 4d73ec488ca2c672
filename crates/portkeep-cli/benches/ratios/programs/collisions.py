"""Workers that get a port and bind to it some time later, as test runs start servers, among noise.

usage: collisions.py MODE SECONDS AUTOMATIC-RANGE   MODE: pick, portpicker, server, or a package for Node.js
Prints how many starts there were, and how many of them could not bind. A server that gives no port
ends the trial.
"""

import os
import random
import socket
import struct
import subprocess
import sys
import time

WORKERS = 64
DELAY = 0.05, 0.25
mode, seconds = sys.argv[1], float(sys.argv[2])
automatic = range(*(int(port) for port in sys.argv[3].split("-")))
# Where those bind who name a number: the automatic range, and where Portkeep's pool begins.
strangers_ports = [*automatic, *range(61000, 62000)]
address = os.environ.get("PORTSERVER_ADDRESS", "").replace("@", "\0", 1)


def pick():
    with socket.socket() as chosen:
        chosen.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        chosen.bind(("", 0))
        return chosen.getsockname()[1]


def ask():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address)
        client.sendall(b"%d\n" % os.getpid())
        return int(client.recv(64))


def by_portpicker():
    import portpicker

    def fall_back():
        raise SystemExit("portpicker fell back to choosing by itself")

    portpicker._pick_unused_port_without_server = fall_back
    return portpicker.pick_unused_port()


GET = {"pick": pick, "server": ask, "portpicker": by_portpicker}


def start():
    """One start of a server; gives whether it could bind."""
    port = GET[mode]()
    time.sleep(random.uniform(*DELAY))
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("", port))
            server.listen(8)
        except OSError:
            return False
        time.sleep(0.03)
    return True


def work(end):
    """Each start in a process of its own, so that ports come back."""
    starts = failed = 0
    while time.monotonic() < end:
        pid = os.fork()
        if not pid:
            try:
                os._exit(0 if start() else 1)
            except BaseException as error:
                print(error, file=sys.stderr)
                os._exit(2)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code not in (0, 1):
            os._exit(2)
        starts, failed = starts + 1, failed + code
    return starts, failed


def connect_all_the_time(end, target):
    connections = []
    while time.monotonic() < end:
        try:
            connections.append(socket.create_connection(("127.0.0.1", target)))
        except OSError:
            pass
        if len(connections) > 40:
            connections.pop(random.randrange(len(connections))).close()
        time.sleep(0.002)


def bind_by_number(end):
    held = []
    while time.monotonic() < end:
        stranger = socket.socket()
        try:
            stranger.bind(("", random.choice(strangers_ports)))
            held.append(stranger)
        except OSError:
            stranger.close()
        if len(held) > 20:
            held.pop(0).close()
        time.sleep(0.002)


def accept_all(sink):
    accepted = []
    while True:
        accepted.append(sink.accept()[0])
        if len(accepted) > 200:
            accepted.pop(0).close()


def fork(work, *arguments):
    pid = os.fork()
    if not pid:
        work(*arguments)
        os._exit(0)
    return pid


def start_in_node():
    """Starts a worker; it begins when it is told."""
    script = os.path.splitext(__file__)[0] + ".mjs"
    return subprocess.Popen(
        ["node", script, mode, str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def forked():
    """Workers of this program: their starts and failures, or none."""
    reader, writer = os.pipe()
    workers = [
        fork(lambda: os.write(writer, struct.pack("=II", *work(end)))) for _ in range(WORKERS)
    ]
    statuses = [os.waitpid(pid, 0)[1] for pid in workers]
    return None if any(statuses) else struct.iter_unpack("=II", os.read(reader, 8 * WORKERS))


def of_node():
    """The same in Node.js."""
    for worker in in_node:
        worker.stdin.write("\n")
        worker.stdin.flush()
    lines = [worker.stdout.read().split() for worker in in_node]
    return None if any(worker.wait() for worker in in_node) else [map(int, it) for it in lines]


in_node = [] if mode in GET else [start_in_node() for _ in range(WORKERS)]
if any(worker.stdout.readline() != "ready\n" for worker in in_node):
    sys.exit("a worker in Node.js did not start")
sink = socket.create_server(("127.0.0.1", 9), backlog=4096)
accepting = fork(accept_all, sink)
end = time.monotonic() + seconds
noise = [fork(connect_all_the_time, end, 9) for _ in range(4)]
noise += [fork(bind_by_number, end) for _ in range(2)]
results = of_node() if in_node else forked()
for pid in noise:
    os.waitpid(pid, 0)
os.kill(accepting, 9)
if results is None:
    sys.exit("a worker got no port")
print(*(sum(column) for column in zip(*results)))
