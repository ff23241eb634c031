"""Who keeps the passphrase that a device's secret is sealed with: a person, or the system."""

import enum
import secrets
from dataclasses import dataclass
from typing import ClassVar, Protocol

from client_lib.errors import StorageError, UsageError
from client_lib.passphrase import Passphrase

_SERVICE = "albumswarm"


class ProtectionKind(enum.Enum):
    """How a sealed secret is opened; the value is in the file."""

    PASSPHRASE = 1
    KEYRING = 2


class Protection(Protocol):
    """Keeps a passphrase for each sealed file; `entry` names the file."""

    @property
    def kind(self) -> ProtectionKind:
        """Which one this is."""

    def begin(self, entry: str) -> Passphrase:
        """Passphrase to seal with."""

    def recall(self, entry: str) -> Passphrase:
        """Passphrase that was sealed with. Raises UsageError, StorageError."""

    def forget(self, entry: str) -> None:
        """Keep it no longer."""


@dataclass(frozen=True, slots=True)
class PassphraseProtection:
    """A passphrase that a person or another program keeps."""

    passphrase: Passphrase
    kind: ClassVar[ProtectionKind] = ProtectionKind.PASSPHRASE

    def begin(self, entry: str) -> Passphrase:
        """See `Protection`."""
        del entry
        return self.passphrase

    def recall(self, entry: str) -> Passphrase:
        """See `Protection`."""
        del entry
        return self.passphrase

    def forget(self, entry: str) -> None:
        """See `Protection`."""


@dataclass(frozen=True, slots=True)
class KeyringProtection:
    """A random passphrase in the system's keyring. Needs the extra `keyring`."""

    kind: ClassVar[ProtectionKind] = ProtectionKind.KEYRING

    def begin(self, entry: str) -> Passphrase:
        """See `Protection`. Raises UsageError without the extra, StorageError."""
        fresh = secrets.token_urlsafe(32)
        _keyring("set_password", entry, fresh)
        return Passphrase(fresh.encode())

    def recall(self, entry: str) -> Passphrase:
        """See `Protection`."""
        kept = _keyring("get_password", entry)
        if not kept:
            raise StorageError(
                "the system's keyring does not have this device's passphrase: "
                "unlock it, or restore its backup"
            )
        return Passphrase(kept.encode())

    def forget(self, entry: str) -> None:
        """See `Protection`."""
        _keyring("delete_password", entry)


def _keyring(call: str, entry: str, *values: str) -> str | None:
    try:
        import keyring  # an extra, and slow: only who asked for it
        from keyring.errors import KeyringError
    except ModuleNotFoundError as error:
        raise UsageError(
            "the system's keyring needs more: pip install 'albumswarm-client[keyring]'"
        ) from error
    try:
        answer: str | None = getattr(keyring, call)(_SERVICE, entry, *values)
    except KeyringError as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise StorageError(f"the system's keyring does not work: {why}") from None
    return answer
