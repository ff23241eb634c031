"""The passphrase that encrypts the keys of CA and signer at rest."""

from pathlib import Path

from client_lib.passphrase import Passphrase, environment_passphrase, read_passphrase
from licensing.config import LicensingConfig

ENVIRONMENT_VARIABLE = "ALBUMSWARM_LICENSING_PASSPHRASE"


def configured_passphrase(data: Path, config: LicensingConfig) -> Passphrase | None:
    """The keys' passphrase: from the environment, or else from `passphrase_file`.

    None: they are not encrypted. Raises UsageError.
    """
    if (found := environment_passphrase(ENVIRONMENT_VARIABLE)) is not None:
        return found
    return read_passphrase(data / config.passphrase_file) if config.passphrase_file else None
