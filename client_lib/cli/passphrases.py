"""Where a passphrase comes from: a file, the environment, or a person. Never an argument."""

import sys
from getpass import getpass
from pathlib import Path

from client_lib.errors import UsageError
from client_lib.passphrase import Passphrase, environment_passphrase, read_passphrase

ENVIRONMENT_VARIABLE = "ALBUMSWARM_PASSPHRASE"
_GIVE_ONE = f"no passphrase: give one by --passphrase-file or {ENVIRONMENT_VARIABLE}"


def given_passphrase(file: Path | None) -> Passphrase | None:
    """From the file, or else from the environment. Raises UsageError."""
    return environment_passphrase(ENVIRONMENT_VARIABLE) if file is None else read_passphrase(file)


def asked_passphrase() -> Passphrase | None:
    """From the person at the terminal; None where nobody is."""
    return _asked("Passphrase: ") if _somebody_is_there() else None


def new_passphrase(file: Path | None) -> Passphrase:
    """Given, or else asked for twice. Raises UsageError."""
    given = given_passphrase(file)
    if given is not None:
        return given
    if not _somebody_is_there():
        raise UsageError(_GIVE_ONE)
    first = _asked("New passphrase: ")
    if _asked("Once more: ") != first:
        raise UsageError("the two passphrases differ: nothing was changed")
    return first


def _somebody_is_there() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _asked(question: str) -> Passphrase:
    try:
        return Passphrase(getpass(question).encode())
    except EOFError as error:
        raise UsageError(_GIVE_ONE) from error
    except ValueError as error:
        raise UsageError(str(error)) from error
