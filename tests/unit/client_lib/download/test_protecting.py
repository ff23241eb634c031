"""Encrypting a device's secret and keys: what is on the disk, and a death at every moment."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client_lib.download.library import DeviceLibrary
from client_lib.download.protecting import protect, unprotect
from client_lib.errors import StorageError, UsageError
from client_lib.membership import CREDENTIAL_FILE
from client_lib.passphrase import Passphrase
from client_lib.protection import KeyringProtection, PassphraseProtection, Protection
from client_lib.transport.credential import Credential, keep_credential, load_credential_file
from client_lib.wire.licence import licence_id_from
from tests.pki import SwarmPki, licence_identity
from tests.unit.client_lib.memory_keyring import MemoryKeyring, memory_keyring

PKI = SwarmPki()
KEYS = 3
RIGHT = PassphraseProtection(Passphrase(b"correct horse"))
WRONG = PassphraseProtection(Passphrase(b"battery staple"))


@pytest.fixture
def keyring() -> Iterator[MemoryKeyring]:
    with memory_keyring() as backend:
        yield backend


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A device with keys in the clear."""
    library = DeviceLibrary(tmp_path / "data")
    library.device_secret()
    for number in range(KEYS):
        path = library.licence_folder(licence_id_from(bytes([number] * 16))) / CREDENTIAL_FILE
        path.parent.mkdir(parents=True)
        leaf = PKI.issue(licence_identity("rel-1.flac", b"info", number=number))
        keep_credential(Credential(path, leaf.key, leaf.certificate))
    return library.folder


def opened(folder: Path, protection: Protection | None) -> tuple[str, list[bytes]]:
    """Device secret and private keys, as a client with this protection reads them."""
    library = DeviceLibrary(folder, protection)
    encryption = library.key_encryption()
    credentials = [load_credential_file(path, encryption) for path in key_files(folder)]
    assert all(credentials)
    return library.device_secret().bearer, [c.key_pem.encode() for c in credentials if c]


def key_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"licences/*/{CREDENTIAL_FILE}"))


def on_disk(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_protected_device_has_no_secret_on_its_disk(folder: Path) -> None:
    bearer, keys = opened(folder, None)
    protect(DeviceLibrary(folder), RIGHT)
    secrets = [bearer.encode(), *(body for key in keys for body in key.split(b"\n")[1:2])]
    for path, data in on_disk(folder).items():
        assert not [secret for secret in secrets if secret in data], path
        assert b"BEGIN PRIVATE KEY" not in data
    assert all(b"ENCRYPTED PRIVATE KEY" in path.read_bytes() for path in key_files(folder))
    for path in (folder / "device.secret", *key_files(folder)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert opened(folder, RIGHT) == (bearer, keys)


@pytest.mark.parametrize("protection", [WRONG, None], ids=["wrong", "none"])
def test_without_the_passphrase_nothing_opens_and_nothing_changes(
    folder: Path, protection: Protection | None
) -> None:
    protect(DeviceLibrary(folder), RIGHT)
    before = on_disk(folder)
    library = DeviceLibrary(folder, protection)
    for call in (library.device_secret, lambda: unprotect(library, protection)):
        with pytest.raises(UsageError, match="passphrase"):
            call()
    with pytest.raises(UsageError, match="protected already"):
        protect(DeviceLibrary(folder), WRONG)
    assert on_disk(folder) == before | {folder / "lock": b""}


def test_device_goes_back_into_the_clear(folder: Path, keyring: MemoryKeyring) -> None:
    before = opened(folder, None)
    protection = KeyringProtection()
    protect(DeviceLibrary(folder), protection)
    assert len(keyring.kept) == 1
    with pytest.raises(UsageError, match="protected by a keyring, not by a passphrase"):
        opened(folder, RIGHT)
    unprotect(DeviceLibrary(folder, protection), protection)
    assert opened(folder, None) == before
    assert all(b"BEGIN PRIVATE KEY" in path.read_bytes() for path in key_files(folder))
    assert keyring.kept == {}


class Died(BaseException):
    """Nothing after it is carried out, as after SIGKILL."""


def dying_at(write: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the process die at the n-th file that is put in place; returns how to revive it."""
    real, left = os.replace, [write]

    def replace(source: str, target: Path) -> None:
        if not left[0]:
            raise Died
        left[0] -= 1
        real(source, target)

    monkeypatch.setattr("client_lib.durable.os.replace", replace)
    return lambda: monkeypatch.setattr("client_lib.durable.os.replace", real)


@pytest.mark.parametrize("write", range(KEYS + 1))
@pytest.mark.parametrize("undo", [False, True], ids=["protect", "unprotect"])
def test_death_at_any_moment_leaves_everything_readable(
    folder: Path,
    keyring: MemoryKeyring,
    monkeypatch: pytest.MonkeyPatch,
    undo: bool,
    write: int,
) -> None:
    assert keyring.kept == {}
    before, protection = opened(folder, None), KeyringProtection()
    if undo:
        protect(DeviceLibrary(folder), protection)
    revive = dying_at(write, monkeypatch)
    library = DeviceLibrary(folder, protection if undo else None)
    with pytest.raises(Died):
        (unprotect if undo else protect)(library, protection)
    revive()
    sealed = DeviceLibrary(folder).sealed_secret() is not None
    now = protection if sealed else None
    assert opened(folder, now) == before
    if undo:  # and the same command completes it
        unprotect(DeviceLibrary(folder, now), now)
        assert opened(folder, None) == before
        assert all(b"BEGIN PRIVATE KEY" in path.read_bytes() for path in key_files(folder))
    else:
        protect(DeviceLibrary(folder), protection)
        assert opened(folder, protection) == before
        assert not any(b"BEGIN PRIVATE KEY" in path.read_bytes() for path in key_files(folder))


def test_new_device_is_protected_from_its_first_moment(tmp_path: Path) -> None:
    bearer = DeviceLibrary(tmp_path, RIGHT).device_secret().bearer
    assert bearer.encode() not in (tmp_path / "device.secret").read_bytes()
    assert DeviceLibrary(tmp_path, RIGHT).device_secret().bearer == bearer
    assert DeviceLibrary(tmp_path, RIGHT).key_encryption().encrypts


def test_passphrase_for_an_open_device_is_no_protection_in_silence(folder: Path) -> None:
    with pytest.raises(UsageError, match="is not protected"):
        opened(folder, RIGHT)


@pytest.mark.parametrize("at", [0, 20, 21, 40, 60, -1])
def test_damage_is_noticed(tmp_path: Path, keyring: MemoryKeyring, at: int) -> None:
    assert keyring.kept == {}
    DeviceLibrary(tmp_path, KeyringProtection()).device_secret()
    path = tmp_path / "device.secret"
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)
    with pytest.raises((StorageError, UsageError)):
        DeviceLibrary(tmp_path, KeyringProtection()).device_secret()
    path.write_bytes(data[:30])
    with pytest.raises((StorageError, UsageError)):
        DeviceLibrary(tmp_path, KeyringProtection()).device_secret()


def test_keyring_that_says_no_changes_nothing(folder: Path, keyring: MemoryKeyring) -> None:
    before = opened(folder, None)
    keyring.locked = True
    with pytest.raises(StorageError, match="the system's keyring does not work: the user said no"):
        protect(DeviceLibrary(folder), KeyringProtection())
    assert opened(folder, None) == before
    keyring.locked = False
    protect(DeviceLibrary(folder), KeyringProtection())
    keyring.kept.clear()
    with pytest.raises(StorageError, match="keyring does not have"):
        opened(folder, KeyringProtection())


def test_keyring_without_its_extra_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UsageError, match=r"albumswarm-client\[keyring\]"):
        protect(DeviceLibrary(folder), KeyringProtection())


def test_nothing_secret_is_printed() -> None:
    assert "correct horse" not in repr(RIGHT)
