"""Answers for other packages that choose ports: portpicker and port_for, where they are installed."""

import importlib
import importlib.util
from typing import Any, Callable, List, Optional, Tuple

_replaced: List[Tuple[Any, str, Any]] = []


def answer(port: Callable[[], int], backend: str) -> None:
    """Has them return ports of this function. A port server in the environment portpicker asks itself."""
    if backend == "unprotected":
        return
    if backend != "server":
        _replace("portpicker", "_pick_unused_port_without_server", lambda *_, **__: port())
    for module in ("port_for.api", "port_for"):
        original = getattr(_module(module), "select_random", None)
        if original is not None:
            _replace(module, "select_random", _chooser(original, port))


def _chooser(original: Callable[..., int], port: Callable[[], int]) -> Callable[..., int]:
    def select_random(ports: Optional[Any] = None, exclude_ports: Optional[Any] = None) -> int:
        # Who names ports wants one of them.
        if ports is not None:
            return original(ports, exclude_ports)
        while True:
            chosen = port()
            if chosen not in (exclude_ports or ()):
                return chosen

    return select_random


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _replace(module: str, name: str, by: Any) -> None:
    found = _module(module)
    if found is not None and hasattr(found, name):
        _replaced.append((found, name, getattr(found, name)))
        setattr(found, name, by)


def leave() -> None:
    """Undoes it."""
    while _replaced:
        module, name, original = _replaced.pop()
        setattr(module, name, original)
