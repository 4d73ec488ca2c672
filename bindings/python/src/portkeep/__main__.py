"""``python -m portkeep``: the command."""

import os
import sys

from portkeep._command import find_command


def main() -> None:
    """Becomes the command."""
    path = find_command()
    if path is None:
        sys.exit(
            "portkeep: this installation has no command\n"
            "Hint: the wheels for Linux have it, and so have the packages of Portkeep"
        )
    os.execv(path, [path, *sys.argv[1:]])


if __name__ == "__main__":
    main()
