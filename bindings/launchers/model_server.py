"""Takes its ports as vLLM does, in the order in which vLLM does: a server at --port binds once its model is loaded; a
port for its worker is the first free one from VLLM_PORT on, and the worker binds to it later."""

import argparse
import http.server
import os
import socket
import subprocess
import sys

WORKER = """
import socket, sys
own = socket.socket()
own.bind(("127.0.0.1", int(sys.argv[1])))
own.listen()
print("listens", flush=True)
sys.stdin.read()
"""


def open_port():
    """As vLLM's get_open_port()."""
    port = int(os.environ["VLLM_PORT"])
    while True:
        try:
            with socket.socket() as probe:
                probe.bind(("", port))
                return port
        except OSError:
            port += 1


parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
port = parser.parse_args().port
for_worker = open_port()
print("loads", port, for_worker, flush=True)
# Whoever started it says when the model is loaded.
sys.stdin.readline()
worker = subprocess.Popen(
    [sys.executable, "-c", WORKER, str(for_worker)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
)
assert worker.stdout.readline() == "listens\n"


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"serves")


with http.server.HTTPServer(("127.0.0.1", port), Health) as server:
    print("serves", flush=True)
    server.handle_request()
worker.stdin.close()
sys.exit(worker.wait())
