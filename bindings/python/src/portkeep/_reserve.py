"""`reserve`, and what keeps the ports."""

import errno
import random
import socket
import sys
import threading
import warnings
from types import TracebackType
from typing import Callable, Dict, Iterable, List, Literal, Optional, Set, Tuple, Type, Union

from portkeep import _again, _held, _kernel, _server
from portkeep._errors import PortkeepError, UnprotectedWarning

Share = Optional[Literal["tree", "process", "user"]]
Backend = Literal["kernel", "server", "held", "unprotected"]
Ports = Union[int, str, range]

_FLAGS = {"tree": _kernel.TREE, "process": _kernel.PROCESS, "user": _kernel.USER}
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class Reservation:
    """Reserved ports, until :meth:`close` or the end of the process.

    A context manager: leaving its block closes it.
    """

    #: What keeps the ports: the ``"kernel"`` part; a port ``"server"``; for the sockets of
    #: :meth:`socket` only, sockets that ``"held"`` them; or nothing, ``"unprotected"``.
    backend: Backend

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._tcp: List[int] = []
        self._udp: List[int] = []
        self._bind: Dict[Tuple[int, int], Callable[[socket.socket, Tuple], None]] = {}
        self._close: List[Callable[[], None]] = []
        self._lock = threading.Lock()

    def _add(
        self,
        kinds: List[int],
        ports: Iterable[int],
        bind: Optional[Callable[[socket.socket, int, Tuple], None]] = None,
    ) -> None:
        for port in ports:
            for kind in kinds:
                (self._tcp if kind == socket.SOCK_STREAM else self._udp).append(port)
                if bind is not None:
                    self._bind[kind, port] = lambda own, to, kind=kind: bind(own, kind, to)

    @property
    def tcp(self) -> List[int]:
        """The TCP ports."""
        return list(self._tcp)

    @property
    def udp(self) -> List[int]:
        """The UDP ports."""
        return list(self._udp)

    @property
    def ports(self) -> List[int]:
        """All ports, each number once: those of TCP first."""
        return list(dict.fromkeys(self._tcp + self._udp))

    @property
    def port(self) -> int:
        """The first port."""
        return self.ports[0]

    def socket(
        self,
        port: Optional[int] = None,
        *,
        host: str = "127.0.0.1",
        type: Optional[int] = None,
    ) -> socket.socket:
        """Returns a new socket, bound to a port of the reservation.

        It is not listening yet. ``port`` is the first by default, and ``type`` what the port is
        reserved for: ``SOCK_STREAM`` if for both. TCP sockets have ``SO_REUSEADDR``, as servers do.
        """
        with self._lock:
            number = self.port if port is None else port
            kind = type
            if kind is None:
                kind = socket.SOCK_STREAM if number in self._tcp else socket.SOCK_DGRAM
            if number not in (self._tcp if kind == socket.SOCK_STREAM else self._udp):
                raise ValueError(f"port {number} is not of this reservation")
            family, _, _, _, address = socket.getaddrinfo(
                host, number, type=kind, flags=socket.AI_PASSIVE
            )[0]
            own = socket.socket(family, kind)
            try:
                if kind == socket.SOCK_STREAM and sys.platform != "win32":
                    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                bind = self._bind.get((kind, number))
                if bind is not None:
                    bind(own, address)
                else:
                    own.bind(address)
            except BaseException:
                own.close()
                raise
            return own

    def close(self) -> None:
        """Ends the reservation. Sockets that are bound stay bound.

        Ports of a port server stay reserved until the process ends, for its protocol has no way to
        give one back.
        """
        with self._lock:
            while self._close:
                self._close.pop()()

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<portkeep.Reservation tcp={self._tcp} udp={self._udp} backend={self.backend!r}>"


def backend(share: Share = "tree") -> Backend:
    """What would keep the ports of :func:`reserve`."""
    if _kernel.is_enabled():
        return "kernel"
    if sys.platform == "linux" and share is None:
        return "held"
    server = _server.address()
    if server and share in ("tree", "process") and _server.answers(server):
        return "server"
    return "unprotected"


def protect() -> Backend:
    """Has the ports of this program kept: call it first, where the program starts.

    Where neither the kernel part nor a port server would keep them, it starts the program anew, by its
    command line, under ``portkeep run --serve``, and does not return; in the new one it returns at once.
    What the program did before, it does twice. Under ``portkeep run`` no process gains privileges
    (``sudo`` fails). If that cannot be, an :class:`UnprotectedWarning` says why.
    """
    kept = backend()
    if kept == "unprotected":
        reason = _again.refusal() or _again.rehearse() or _again.start()
        _warn(f"the ports are unprotected: {reason}")
    return kept


def reserve(
    tcp: Optional[int] = None,
    udp: int = 0,
    both: int = 0,
    ports: Optional[Ports] = None,
    align: int = 1,
    share: Share = "tree",
) -> Reservation:
    """Reserves ports; nobody else can bind to them.

    :param tcp: how many TCP ports in a row; 1 if nothing else is asked for.
    :param udp: how many UDP ports in a row.
    :param both: how many ports in a row that are reserved for TCP and UDP.
    :param ports: these ports instead of any: a number, a ``range``, or a text such as ``"5060-5061"``.
        For TCP, or for what is not 0 of ``tcp``, ``udp`` and ``both``.
    :param align: the first port of each row is a multiple of this power of two.
    :param share: who can bind to the ports by number: this process and those that it starts
        (``"tree"``), this process, the ``"user"``; with ``None`` only :meth:`Reservation.socket`.
    :raises PortkeepError: an ``OSError``: ports are refused.

    Where the kernel part of Portkeep is not enabled, the port server of ``portkeep run --serve`` is
    asked, for ports that need not be in a row. With ``share=None`` sockets of this process hold the
    ports. Else they are free, outside of the automatic range, and unprotected, with an
    :class:`UnprotectedWarning` once.
    """
    if share is not None and share not in _FLAGS:
        raise ValueError('share is "tree", "process", "user" or None')
    if align < 1 or align & (align - 1):
        raise ValueError("align is a power of two")
    if tcp is None:
        tcp = 0 if udp or both else 1
    if min(tcp, udp, both) < 0:
        raise ValueError("a number of ports is negative")
    wanted = [
        ([socket.SOCK_STREAM, socket.SOCK_DGRAM], int(both)),
        ([socket.SOCK_STREAM], int(tcp)),
        ([socket.SOCK_DGRAM], int(udp)),
    ]
    start = 0
    if ports is not None:
        block = _range(ports)
        start = block.start
        wanted = [(kinds, len(block)) for kinds, count in wanted if count]
    rows = [(kinds, start, count) for kinds, count in wanted if count]
    if not rows:
        raise ValueError("no ports are asked for")
    if max(count for _, _, count in rows) > 65535:
        raise ValueError("there are 65535 ports")
    by = backend(share)
    if by == "server" and (start or align > 1):
        # It hands out ports one by one.
        by = "unprotected"
    reserved = Reservation(by)
    try:
        for kinds, first, count in rows:
            _BACKENDS[by](reserved, kinds, first, count, align, share)
    except BaseException:
        reserved.close()
        raise
    if by == "unprotected":
        _warn()
    return reserved


def _range(ports: Ports) -> range:
    if isinstance(ports, int):
        block = range(ports, ports + 1)
    elif isinstance(ports, str):
        first, _, last = ports.partition("-")
        block = range(int(first), int(last or first) + 1)
    else:
        block = ports
    if block.step != 1 or not block or block[0] < 1 or block[-1] > 65535:
        raise ValueError(f"{ports!r} are no ports in a row")
    return block


def _by_kernel(
    reserved: Reservation, kinds: List[int], start: int, count: int, align: int, share: Share
) -> None:
    flags = _FLAGS[share] if share else 0
    try:
        blocks = dict(zip(kinds, _kernel.acquire(kinds, start, count, flags, align)))
    except PortkeepError as error:
        if share is not None or error.errno != errno.EADDRNOTAVAIL:
            raise
        # connect() may take automatic ports, but not from a socket.
        reserved.backend = "held"
        _by_held(reserved, kinds, start, count, align, share)
        return

    def bind(own: socket.socket, kind: int, address: Tuple) -> None:
        blocks[kind].associate(own)
        own.bind(address)

    first = blocks[kinds[0]].start
    reserved._close.extend(block.close for block in blocks.values())
    reserved._add(kinds, range(first, first + count), bind)


def _by_server(
    reserved: Reservation, kinds: List[int], start: int, count: int, align: int, share: Share
) -> None:
    server = _server.address() or ""
    reserved._add(kinds, [_server.ask(server) for _ in range(count)])


def _by_held(
    reserved: Reservation, kinds: List[int], start: int, count: int, align: int, share: Share
) -> None:
    holders = _held.Holders(kinds, start, count, align)

    def bind(own: socket.socket, kind: int, address: Tuple) -> None:
        holders.bind(own, kind, address[1], address)

    reserved._close.append(holders.close)
    reserved._add(kinds, range(holders.start, holders.start + count), bind)


_given: Set[int] = set()


def _unprotected(
    reserved: Reservation, kinds: List[int], start: int, count: int, align: int, share: Share
) -> None:
    if start:
        _held.Holders(kinds, start, count, align).close()
        reserved._add(kinds, range(start, start + count))
        return
    for fresh in (True, False):
        for place in _held.places(count, align):
            block = range(place, place + count)
            if fresh and not _given.isdisjoint(block):
                continue
            try:
                _held.Holders(kinds, place, count, align).close()
            except OSError:
                continue
            _given.update(block)
            reserved._add(kinds, block)
            return
    raise PortkeepError(errno.EADDRINUSE, f"no block of {count} ports is free")


_BACKENDS = {
    "kernel": _by_kernel,
    "server": _by_server,
    "held": _by_held,
    "unprotected": _unprotected,
}

_warned = False


def _warn(why: Optional[str] = None) -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(why or why_unprotected(), UnprotectedWarning, stacklevel=3)


def no_warning() -> None:
    """For those who say it themselves."""
    global _warned
    _warned = True


def why_unprotected() -> str:
    """Why nothing keeps ports, and what to do."""
    if sys.platform != "linux":
        return "the ports are unprotected: Portkeep reserves ports on Linux"
    return (
        "the ports are unprotected: the kernel part of Portkeep is not enabled here; enable it "
        "(sudo portkeep enable), start the program by `portkeep run --serve`, or have it call "
        "portkeep.protect() first"
    )
