"""A sealed secret: a few bytes encrypted to a passphrase, in one file.

"albumswarm secret 1\\n", kind of protection, log2 of scrypt's n, salt (16), nonce (12),
ChaCha20-Poly1305 of the secret with all of that as associated data
"""

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client_lib.errors import StorageError, UsageError
from client_lib.passphrase import Passphrase
from client_lib.protection import Protection, ProtectionKind

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

_MAGIC = b"albumswarm secret 1\n"
_SALT_BYTES, _NONCE_BYTES = 16, 12
_HEADER = struct.Struct(f">{len(_MAGIC)}sBB{_SALT_BYTES}s{_NONCE_BYTES}s")
# 128 MiB and about half a second for each guess; a keyring's 256 random bits need no stretching.
_LOG_N = {ProtectionKind.PASSPHRASE: 17, ProtectionKind.KEYRING: 1}
_MOST_LOG_N = 20
_R, _P = 8, 1


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """The file, taken apart."""

    header: bytes
    kind: ProtectionKind
    log_n: int
    salt: bytes
    nonce: bytes
    ciphertext: bytes

    @classmethod
    def from_bytes(cls, data: bytes) -> "SealedSecret | None":
        """Parse it, None for what is not sealed. Raises StorageError for a damaged one."""
        if not data.startswith(_MAGIC):
            return None
        try:
            _, kind, log_n, salt, nonce = _HEADER.unpack(data[: _HEADER.size])
            known = ProtectionKind(kind)
        except (struct.error, ValueError) as error:
            raise StorageError("the sealed device secret is damaged") from error
        if not 1 <= log_n <= _MOST_LOG_N:  # a hostile header costs no more than 1 GiB
            raise StorageError("the sealed device secret is damaged")
        sealed = data[_HEADER.size :]
        return cls(data[: _HEADER.size], known, log_n, salt, nonce, sealed)

    @property
    def entry(self) -> str:
        """Name under which its passphrase is kept."""
        return self.salt.hex()

    def open(self, protection: Protection) -> bytes:
        """Decrypt. Raises UsageError for the wrong passphrase, and what `recall` raises."""
        from cryptography.exceptions import InvalidTag

        cipher = _cipher(protection.recall(self.entry), self.salt, self.log_n)
        try:
            return cipher.decrypt(self.nonce, self.ciphertext, self.header)
        except InvalidTag as error:
            raise UsageError(
                "the passphrase is wrong, or the device secret on disk is damaged"
            ) from error


def seal(secret: bytes, protection: Protection) -> bytes:
    """Encrypt, under a fresh salt."""
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    log_n = _LOG_N[protection.kind]
    header = _HEADER.pack(_MAGIC, protection.kind.value, log_n, salt, nonce)
    cipher = _cipher(protection.begin(salt.hex()), salt, log_n)
    return header + cipher.encrypt(nonce, secret, header)


def key_file_passphrase(device_secret: bytes) -> bytes:
    """What a protected device's private keys are encrypted with (PKCS#8 files).

    Derived from the device secret (HKDF, RFC 5869): whoever has that gets certificates anyway,
    and one sealed file is all that a passphrase has to open.
    """
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"albumswarm key files 1")
    return derived.derive(device_secret).hex().encode()


def _cipher(passphrase: Passphrase, salt: bytes, log_n: int) -> "ChaCha20Poly1305":
    # Loaded here: only protected devices pay for it.
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    key = Scrypt(salt=salt, length=32, n=1 << log_n, r=_R, p=_P).derive(passphrase.secret)
    return ChaCha20Poly1305(key)
