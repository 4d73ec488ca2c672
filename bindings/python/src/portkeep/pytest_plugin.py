"""Fixtures with ports that no other program takes. See Portkeep's docs/pytest.md."""

import contextlib
from typing import Callable, Iterator, Optional

import pytest

from portkeep import _again, _others
from portkeep._reserve import Reservation, backend, no_warning, reserve


class _Portkeep:
    """What keeps the ports of this session, and which they are."""

    def __init__(self, refusal: Optional[str]) -> None:
        self.backend = backend()
        self.refusal = refusal
        #: Reservations that last as long as the session, and what stands in other packages' place.
        self.session = contextlib.ExitStack()

    def describe(self) -> str:
        if self.backend == "kernel":
            return "the kernel part keeps the ports"
        if self.backend == "server":
            return "the port server keeps the ports"
        return f"the ports are UNPROTECTED: {self.refusal or 'the kernel part is not enabled'}"

    def port(self, stack: contextlib.ExitStack, kind: str) -> int:
        return stack.enter_context(reserve(**{"tcp": 0, kind: 1})).port


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "portkeep_run",
        "'auto' starts pytest anew under `portkeep run` where the kernel part is not enabled, "
        "'never' does not",
        default="auto",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Here, before the session, descriptors 1 and 2 are the caller's once capture has let go of them."""
    global _has_begun
    is_within, _has_begun = _has_begun, True
    portkeep = _portkeep(config)
    if portkeep.backend == "unprotected" and not hasattr(config, "workerinput"):
        portkeep.refusal = _start_anew(config, is_within)


#: Whether there has been a session in this process; others are pytester's within it, as a rule.
_has_begun = False


def _start_anew(config: pytest.Config, is_within: bool) -> Optional[str]:
    """Does not return, or returns why not."""
    if config.option.help or config.option.version:
        return None
    if str(config.getini("portkeep_run")).strip() == "never":
        return "portkeep_run is 'never'"
    refusal = _again.refusal(("pytest", "py.test"))
    if refusal is not None:
        return refusal
    if is_within:
        return "pytest runs within pytest, and is not started anew there"
    refusal = _again.rehearse()
    if refusal is not None:
        return refusal
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        # Gives standard input back, too.
        capture.stop_global_capturing()
    refusal = _again.start()
    if capture is not None:
        capture.start_global_capturing()
    return refusal


def _portkeep(config: pytest.Config) -> _Portkeep:
    portkeep: Optional[_Portkeep] = getattr(config, "_portkeep", None)
    if portkeep is None:
        given = getattr(config, "workerinput", {})
        portkeep = config._portkeep = _Portkeep(given.get("portkeep"))  # type: ignore[attr-defined]
    return portkeep


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    portkeep = _portkeep(config)
    # The header says so.
    no_warning()
    # Last, so that these fixtures win over those of other plugins. Those of a conftest win over these.
    config.pluginmanager.register(_Fixtures(portkeep), "portkeep-fixtures")
    config.pluginmanager.register(_Workers(portkeep), "portkeep-workers")
    answers = _others.answer(lambda: portkeep.port(portkeep.session, "both"), portkeep.backend)
    portkeep.session.enter_context(answers)


def pytest_unconfigure(config: pytest.Config) -> None:
    _portkeep(config).session.close()


def pytest_report_header(config: pytest.Config) -> str:
    return f"portkeep: {_portkeep(config).describe()}"


class _Workers:
    """Tells xdist's workers; each of them reserves its ports itself."""

    def __init__(self, portkeep: _Portkeep) -> None:
        self._portkeep = portkeep

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: object) -> None:
        node.workerinput["portkeep"] = self._portkeep.refusal  # type: ignore[attr-defined]


_Reserve = Callable[..., Reservation]


class _Fixtures:
    def __init__(self, portkeep: _Portkeep) -> None:
        self._portkeep = portkeep

    @pytest.fixture(scope="session")
    def unused_tcp_port_factory(self) -> Callable[[], int]:
        """Returns a function; each call returns another TCP port, reserved until the session ends."""
        return lambda: self._portkeep.port(self._portkeep.session, "tcp")

    @pytest.fixture(scope="session")
    def unused_udp_port_factory(self) -> Callable[[], int]:
        """Returns a function; each call returns another UDP port, reserved until the session ends."""
        return lambda: self._portkeep.port(self._portkeep.session, "udp")

    @pytest.fixture
    def unused_tcp_port(self) -> Iterator[int]:
        """A TCP port, reserved until the test ends."""
        yield from self._one("tcp")

    @pytest.fixture
    def unused_udp_port(self) -> Iterator[int]:
        """A UDP port, reserved until the test ends."""
        yield from self._one("udp")

    @pytest.fixture
    def free_port(self) -> Iterator[int]:
        """A port for TCP and UDP, reserved until the test ends."""
        yield from self._one("both")

    @pytest.fixture
    def reserved_port(self) -> Iterator[int]:
        """A port for TCP and UDP, reserved until the test ends."""
        yield from self._one("both")

    @pytest.fixture(scope="module")
    def module_reserved_port(self) -> Iterator[int]:
        """A port for TCP and UDP, reserved until the last test of the module ends."""
        yield from self._one("both")

    @pytest.fixture(scope="session")
    def session_reserved_port(self) -> Iterator[int]:
        """A port for TCP and UDP, reserved until the session ends."""
        yield from self._one("both")

    @pytest.fixture
    def reserved_port_factory(self) -> Iterator[_Reserve]:
        """`portkeep.reserve`; the reservations end with the test."""
        yield from self._many()

    @pytest.fixture(scope="module")
    def module_reserved_port_factory(self) -> Iterator[_Reserve]:
        """`portkeep.reserve`; the reservations end with the last test of the module."""
        yield from self._many()

    @pytest.fixture(scope="session")
    def session_reserved_port_factory(self) -> Iterator[_Reserve]:
        """`portkeep.reserve`; the reservations end with the session."""
        yield from self._many()

    def _one(self, kind: str) -> Iterator[int]:
        with contextlib.ExitStack() as stack:
            yield self._portkeep.port(stack, kind)

    def _many(self) -> Iterator[_Reserve]:
        with contextlib.ExitStack() as stack:
            yield lambda *args, **kwargs: stack.enter_context(reserve(*args, **kwargs))
