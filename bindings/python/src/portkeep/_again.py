"""Starting this program anew under `portkeep run --serve`, whose ports it and its children can bind."""

import os
import subprocess
import sys
import threading
from types import FrameType
from typing import List, Optional, Tuple

from portkeep._command import find_command

# As it was before other plugins changed it for processes that they start, as pytest-cov does.
_ENVIRONMENT = dict(os.environ)
_MARK = "PORTKEEP_STARTED"
_DEBUGGERS = ("debugpy", "pydevd", "_pydevd_bundle")
_RUN = ["run", "--quiet", "--serve"]


def refusal(programs: Optional[Tuple[str, ...]] = None) -> Optional[str]:
    """Why the program must not be started anew, if it must not. It has to be one of ``programs``, if named."""
    name = programs[0] if programs else "the program"
    if sys.platform != "linux":
        return "Portkeep reserves ports on Linux"
    if _MARK in os.environ:
        return "the port server of `portkeep run` does not answer"
    if _is_debugged():
        return f"a debugger is attached, and {name} cannot be started anew under `portkeep run`"
    if programs is None and not _has_command_line():
        return f"this is no program of its own; start it with `portkeep {' '.join(_RUN)}`"
    if programs is not None and not _is_main(programs):
        return f"{name} was called by a program; start that with `portkeep {' '.join(_RUN)}`"
    if threading.active_count() > 1:
        return f"other threads are running, and {name} cannot be started anew under `portkeep run`"
    return None


def _is_debugged() -> bool:
    if any(name in sys.modules for name in _DEBUGGERS):
        return True
    # `python -m pdb` leaves no trace but its frames: pytest imports pdb, too.
    frame: Optional[FrameType] = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == "bdb":
            return True
        frame = frame.f_back
    return False


def _is_main(programs: Tuple[str, ...]) -> bool:
    """Whether to execute the command line again does nothing but what it did."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name.split(".")[0] in programs:
        return True
    return os.path.basename(getattr(main, "__file__", None) or "") in programs


def _has_command_line() -> bool:
    """Whether the command line says all: no terminal or notebook, and no program from standard input."""
    if hasattr(sys, "ps1") or sys.flags.interactive or "ipykernel" in sys.modules:
        return False
    return bool(sys.argv) and sys.argv[0] not in ("", "-")


def _command_line() -> List[str]:
    words = getattr(sys, "orig_argv", None)
    if words is None:
        with open("/proc/self/cmdline", "rb") as line:
            words = [os.fsdecode(word) for word in line.read().split(b"\0")[:-1]]
    return [sys.executable, *words[1:]]


def rehearse() -> Optional[str]:
    """Why `run` refuses, if it does: to be found out while there is a way back."""
    command = find_command()
    if command is None:
        return "the command portkeep is not installed"
    try:
        tried = subprocess.run(
            [command, *_RUN, "--", "true"],
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        return f"{command}: {error.strerror}"
    if tried.returncode == 0:
        return None
    said = tried.stderr.decode(errors="replace").strip().splitlines()
    return f"`portkeep run` refuses: {said[0] if said else tried.returncode}"


def start() -> str:
    """Executes the command line anew. If that cannot be, returns why."""
    command = find_command() or "portkeep"
    environment = {**_ENVIRONMENT, _MARK: "1"}
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(command, [command, *_RUN, "--", *_command_line()], environment)
    except OSError as error:
        return f"{command}: {error.strerror}"
