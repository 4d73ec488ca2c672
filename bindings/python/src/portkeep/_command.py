"""The command that came with this package, or else one of the machine's."""

import os
import shutil
import sys
import sysconfig
from typing import List, Optional


def _installed() -> List[str]:
    places = [sysconfig.get_path("scripts")]
    if sys.version_info >= (3, 10):
        places.append(
            sysconfig.get_path("scripts", scheme=sysconfig.get_preferred_scheme("user"))
        )
    elif os.name == "posix":
        places.append(sysconfig.get_path("scripts", scheme="posix_user"))
    # pip install --target
    package = os.path.dirname(os.path.abspath(__file__))
    places.append(os.path.join(os.path.dirname(package), "bin"))
    return places


def find_command() -> Optional[str]:
    """Returns the path of the ``portkeep`` command.

    That is ``PORTKEEP_COMMAND`` of the environment, the command of this package, or one in ``PATH``.
    """
    named = os.environ.get("PORTKEEP_COMMAND")
    if named:
        return named
    for place in _installed():
        path = os.path.join(place, "portkeep")
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return shutil.which("portkeep")
