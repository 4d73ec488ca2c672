"""Reserve TCP and UDP ports so that no other program on the machine can take them.

    import portkeep

    with portkeep.reserve(tcp=2) as ports:
        subprocess.run(["server", "--port", str(ports.port), "--admin", str(ports.tcp[1])])

See :func:`reserve`.
"""

from portkeep._command import find_command
from portkeep._errors import PortkeepError, UnprotectedWarning
from portkeep._reserve import Backend, Reservation, backend, reserve

__all__ = [
    "Backend",
    "PortkeepError",
    "Reservation",
    "UnprotectedWarning",
    "backend",
    "find_command",
    "reserve",
]
