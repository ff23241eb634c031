"""Encrypting what a device keeps secret, and undoing that. A kill leaves all of it readable.

The key files are encrypted with a passphrase that is derived from the device secret, and are read
either way. So only the device secret's own file decides, and that is replaced in one step.
"""

import contextlib

from client_lib.download.library import DeviceLibrary
from client_lib.durable import write_secret
from client_lib.errors import StorageError, UsageError
from client_lib.membership import CREDENTIAL_FILE
from client_lib.protection import Protection
from client_lib.sealing import key_file_passphrase, seal
from client_lib.transport.credential import keep_credential, load_credential_file
from client_lib.transport.key_encryption import KeyEncryption


def protect(library: DeviceLibrary, protection: Protection) -> None:
    """Encrypt the device secret and every private key of `library`, opened without protection.

    Raises UsageError if they are, or if a process downloads with the library; StorageError.
    """
    with library.exclusive():
        if library.sealed_secret() is not None:
            raise UsageError(
                f"{library.folder} is protected already: `albumswarm unprotect` it first"
            )
        secret = library.device_secret()
        _rewrite_keys(library, secret.value, encrypts=True)
        write_secret(library.secret_path, seal(secret.bearer.encode(), protection))


def unprotect(library: DeviceLibrary, protection: Protection | None) -> None:
    """Write the device secret and every private key of `library` in the clear.

    Of a library that is not protected, finishes what an earlier run was killed in. Raises
    UsageError for the wrong passphrase, StorageError.
    """
    with library.exclusive():
        sealed = library.sealed_secret()
        secret = library.device_secret()
        if sealed is not None:
            write_secret(library.secret_path, secret.bearer.encode())
        _rewrite_keys(library, secret.value, encrypts=False)
        if sealed is not None and protection is not None:
            with contextlib.suppress(StorageError):  # of no use any more, and no danger
                protection.forget(sealed.entry)


def _rewrite_keys(library: DeviceLibrary, secret: bytes, *, encrypts: bool) -> None:
    encryption = KeyEncryption(key_file_passphrase(secret), encrypts=encrypts, takes_plain=True)
    for path in library.folder.glob(f"licences/*/{CREDENTIAL_FILE}"):
        credential = load_credential_file(path, encryption)
        if credential is not None:
            keep_credential(credential)
