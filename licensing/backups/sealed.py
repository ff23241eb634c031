"""The sealed file: bytes encrypted to a passphrase in chunks (docs/protocol/backup.md).

A header, then chunks of 64 KiB, each ChaCha20-Poly1305 under a nonce that counts them and that
marks the last: nothing can be changed, left out, swapped, added or cut off unseen, and memory
stays bounded whatever the size.
"""

import struct
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from client_lib.errors import StorageError
from client_lib.passphrase import Passphrase

MAGIC = b"albumswarm backup 1\n"
CHUNK_BYTES = 64 << 10
TAG_BYTES = 16
SALT_BYTES = 16
_HEADER = struct.Struct(f">{len(MAGIC)}sBBB{SALT_BYTES}s")

LOG_N, _R, _P = 17, 8, 1  # 128 MiB and about half a second for each guess
_MOST_LOG_N, _MOST_R, _MOST_P = 20, 16, 16  # a hostile header costs no more than 2 GiB


class SealingWriter:
    """Encrypts what is written into `file`. Only `finish` makes it whole."""

    def __init__(
        self, file: BinaryIO, passphrase: Passphrase, *, salt: bytes, log_n: int = LOG_N
    ) -> None:
        """Write the header. `salt`: 16 random bytes, never used before; `log_n`: scrypt's cost."""
        self._file = file
        self._header = _HEADER.pack(MAGIC, log_n, _R, _P, salt)
        self._cipher = ChaCha20Poly1305(_key(self._header, passphrase))
        self._pending = bytearray()
        self._number = 0
        file.write(self._header)

    def write(self, data: bytes) -> None:
        """Add bytes. Raises OSError."""
        self._pending += data
        # One chunk is held back: whether it is the last is known only when more comes.
        while len(self._pending) > CHUNK_BYTES:
            self._seal(bytes(self._pending[:CHUNK_BYTES]), last=False)
            del self._pending[:CHUNK_BYTES]

    def finish(self) -> None:
        """Write the last chunk. Raises OSError."""
        self._seal(bytes(self._pending), last=True)
        self._pending.clear()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        nonce = _nonce(self._number, last=last)
        self._file.write(self._cipher.encrypt(nonce, chunk, self._header))
        self._number += 1


class SealedReader:
    """Decrypts `file`. `name` is what errors call it."""

    def __init__(self, file: BinaryIO, passphrase: Passphrase, *, name: str) -> None:
        """Read the header. Raises StorageError for what is no backup."""
        self._file = file
        self._name = name
        self._header = file.read(_HEADER.size)
        if not self._header.startswith(MAGIC) or len(self._header) < _HEADER.size:
            raise StorageError(f"{name} is not a backup of albumswarm-licensing")
        self._cipher = ChaCha20Poly1305(_key(self._header, passphrase, name))
        self._opened = bytearray()
        self._sealed = file.read(CHUNK_BYTES + TAG_BYTES)
        self._number = 0
        self._whole = False

    def read(self, size: int) -> bytes:
        """Read exactly `size` bytes. Raises StorageError if they are damaged or missing."""
        while len(self._opened) < size:
            if self._whole:
                raise StorageError(f"{self._name} ends too early")
            self._open()
        data = bytes(self._opened[:size])
        del self._opened[:size]
        return data

    def require_end(self) -> None:
        """Raise StorageError if anything follows."""
        while not self._whole:
            self._open()
        if self._opened:
            raise StorageError(f"{self._name} goes on after its end")

    def _open(self) -> None:
        following = self._file.read(CHUNK_BYTES + TAG_BYTES)
        nonce = _nonce(self._number, last=not following)
        try:
            self._opened += self._cipher.decrypt(nonce, self._sealed, self._header)
        except (InvalidTag, ValueError) as error:
            why = f"{self._name} is damaged or cut off"
            if self._number == 0:
                why = f"the passphrase is wrong, or {why}"
            raise StorageError(why) from error
        self._number += 1
        self._sealed, self._whole = following, not following


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _key(header: bytes, passphrase: Passphrase, name: str = "") -> bytes:
    _, log_n, r, p, salt = _HEADER.unpack(header)
    if not (1 <= log_n <= _MOST_LOG_N and 1 <= r <= _MOST_R and 1 <= p <= _MOST_P):
        raise StorageError(f"{name} is damaged: its header asks for an unreasonable key")
    return Scrypt(salt=salt, length=32, n=1 << log_n, r=r, p=p).derive(passphrase.secret)
