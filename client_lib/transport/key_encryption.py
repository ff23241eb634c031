"""How a private key is kept on disk."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class KeyEncryption:
    """A passphrase for key files (PKCS#8). Its repr is silent.

    `encrypts`: whether files are written with it; `takes_plain`: whether one in the clear is read.
    """

    passphrase: bytes
    encrypts: bool = True
    takes_plain: bool = False
