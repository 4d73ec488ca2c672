"""Reserve TCP and UDP ports so that no other program on the machine can take them.

    import portkeep

    with portkeep.reserve(tcp=2) as ports:
        subprocess.run(["server", "--port", str(ports.port), "--admin", str(ports.tcp[1])])

See :func:`reserve`, and :func:`protect` for where the kernel part is not enabled.
"""

from portkeep._command import find_command
from portkeep._errors import PortkeepError, UnprotectedWarning
from portkeep._reserve import Backend, Reservation, backend, protect, reserve

__all__ = [
    "Backend",
    "PortkeepError",
    "Reservation",
    "UnprotectedWarning",
    "backend",
    "find_command",
    "protect",
    "reserve",
]
