"""`albumswarm`, also as `python -m client_lib`."""

import contextlib
import gc
import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line, and leave at once.

    Everything is closed by then, and what counts is on the disk. Taking an interpreter apart that
    has loaded what `get` needs cost a tenth of a second.
    """
    code = 0
    try:
        run_here()
    except SystemExit as error:
        if isinstance(error.code, str):
            raise
        code = error.code or 0
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # whoever read it may have gone
            stream.flush()
    os._exit(code)


def run_here() -> None:
    """Run the command line and raise SystemExit.

    Says what is missing where only the library was installed.
    """
    gc.set_threshold(_YOUNG_OBJECTS)
    try:
        from client_lib.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in _CLI_EXTRA:
            raise
        sys.exit("albumswarm: error: the command needs more: pip install 'albumswarm-client[cli]'")
    run()


# Modules bring 45,000 objects that stay. To look for garbage among them a hundred times meanwhile
# took 25 of 515 ms (medians of 25 starts in turn).
_YOUNG_OBJECTS = 100_000

# What the extra `cli` brings; nothing else may be missing.
_CLI_EXTRA = ("cyclopts", "rich")


if __name__ == "__main__":
    main()
