"""The tests run with the installed package, in scenes that bindings/test sets."""

import os
import subprocess
import sys

import pytest

import portkeep

pytest_plugins = ["pytester"]

BIND = """
import socket, sys
kind, host, port = sys.argv[1:]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
own = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
try:
    own.bind((host, int(port)))
except OSError as error:
    sys.exit(error.errno)
"""



def bind(kind, port, host="127.0.0.1"):
    """Binds in a child: 0 or the errno."""
    return subprocess.run([sys.executable, "-c", BIND, kind, host, str(port)]).returncode


@pytest.fixture(scope="session")
def backend():
    expected = os.environ["PORTKEEP_EXPECT"]
    assert portkeep.backend() == expected
    return expected


@pytest.fixture
def child_bind():
    return bind


@pytest.fixture
def stranger_bind():
    """Binds in a process that the one that reserves did not start: the reserver is a child."""

    def run(code, kind, host="127.0.0.1"):
        """`code` prints ports, and goes on when a line is read."""
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as reserver:
            ports = reserver.stdout.readline().split()
            before = [bind(kind, port, host) for port in ports]
            reserver.stdin.write("\n")
            reserver.stdin.flush()
            assert reserver.stdout.readline() == "closed\n"
            after = [bind(kind, port, host) for port in ports]
            reserver.stdin.close()
            assert reserver.wait() == 0
        return ports, before, after

    return run
