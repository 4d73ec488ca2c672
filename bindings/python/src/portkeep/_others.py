"""Answers for other packages that choose ports: portpicker and port_for, where they are installed."""

import contextlib
import importlib
from typing import Any, Callable, Optional


def answer(port: Callable[[], int], backend: str) -> contextlib.ExitStack:
    """Has them return ports of this function, until what it returns is closed.

    A port server in the environment portpicker asks itself. A session within another one, as pytester's, goes back to
    the ports of the outer one.
    """
    replaced = contextlib.ExitStack()
    if backend == "unprotected":
        return replaced
    if backend != "server":
        name = "_pick_unused_port_without_server"
        _replace(replaced, "portpicker", name, lambda *_, **__: port())
    for module in ("port_for.api", "port_for"):
        original = getattr(_module(module), "select_random", None)
        if original is not None:
            _replace(replaced, module, "select_random", _chooser(original, port))
    return replaced


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


def _replace(replaced: contextlib.ExitStack, module: str, name: str, by: Any) -> None:
    found = _module(module)
    if found is not None and hasattr(found, name):
        replaced.callback(setattr, found, name, getattr(found, name))
        setattr(found, name, by)
