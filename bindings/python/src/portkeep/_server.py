"""A client of the port server in the environment, by python_portpicker's protocol."""

import errno
import os
import socket
import sys
from typing import Optional

from portkeep._errors import PortkeepError


def address() -> Optional[str]:
    """The address of the server, if there is one."""
    if sys.platform != "linux":
        return None
    return os.environ.get("PORTKEEP_SERVER") or os.environ.get("PORTSERVER_ADDRESS") or None


def ask(server: str, pid: Optional[int] = None) -> int:
    """A port for a process, this one by default, and those that it starts, until it ends."""
    # An @ stands for the byte 0, with which abstract addresses begin.
    place = "\0" + server[1:] if server.startswith("@") else server
    answer = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.connect(place)
            asking.sendall(b"%d\n" % (os.getpid() if pid is None else pid))
            while len(answer) < 64:
                more = asking.recv(64)
                if not more:
                    break
                answer += more
        except OSError as error:
            raise PortkeepError(
                error.errno, f"the port server at {server}: {error.strerror}"
            ) from None
    if not answer.strip().isdigit():
        raise PortkeepError(errno.EADDRINUSE, f"the port server at {server} has no port for us")
    return int(answer)


def answers(server: str) -> bool:
    """Whether a server listens there."""
    place = "\0" + server[1:] if server.startswith("@") else server
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            # A connection without a request is how clients look whether there is a server.
            asking.connect(place)
        except OSError:
            return False
    return True
