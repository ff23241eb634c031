"""`albumswarm protect` and `unprotect`: whether the device's secret and keys are encrypted."""

from typing import Annotated, Literal

import trio
from cyclopts import Parameter

from client_lib.cli.answers import SecretsState
from client_lib.cli.options import Options
from client_lib.cli.passphrases import new_passphrase
from client_lib.console import print_json, print_text
from client_lib.download import protecting
from client_lib.download.library import DeviceLibrary
from client_lib.protection import KeyringProtection, PassphraseProtection, Protection

_NO_OPTIONS = Options()


async def protect(
    *,
    keyring: Annotated[
        bool, Parameter(help="Keep a random passphrase in the system's keyring.")
    ] = False,
    options: Options = _NO_OPTIONS,
) -> None:
    """Encrypt this device's secret and keys.

    With a passphrase from `--passphrase-file`, ALBUMSWARM_PASSPHRASE or the terminal, or with one
    that the system's keyring keeps. Whoever loses it has lost this device's licences.
    """
    library = DeviceLibrary(options.data_folder())
    protection: Protection = KeyringProtection()
    if not keyring:
        protection = PassphraseProtection(new_passphrase(options.passphrase_file))
    await trio.to_thread.run_sync(protecting.protect, library, protection)
    _say(options, "protected", f"{library.folder}: secret and keys are encrypted")


async def unprotect(*, options: Options = _NO_OPTIONS) -> None:
    """Keep this device's secret and keys in the clear again."""
    folder = options.data_folder()
    protection = options.protection(folder)
    library = DeviceLibrary(folder, protection)
    await trio.to_thread.run_sync(protecting.unprotect, library, protection)
    _say(options, "unprotected", f"{library.folder}: secret and keys are in the clear")


def _say(options: Options, state: Literal["protected", "unprotected"], line: str) -> None:
    if options.json:
        print_json(SecretsState(state))
    else:
        print_text(line)
