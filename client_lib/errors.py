"""Every error that albumswarm raises on purpose.

    AlbumswarmError                     exit 1
    ├── UsageError                      exit 2   the command or its configuration is wrong
    │   ├── ConfigError                          a configuration file
    │   └── LibraryInUse                         another process downloads with this library
    ├── WireError                       exit 1   bytes from outside that do not parse or verify
    │   ├── BencodeError
    │   ├── MetainfoError                        a torrent
    │   ├── SignatureError                       a torrent's BEP 35 signature
    │   ├── AnnounceError                        a tracker request or response
    │   ├── PeerProtocolError                    what a peer sent (BEP 3, 6, 52)
    │   ├── CertificateError                     a certificate, CSR or CRL
    │   ├── StoreTokenError                      a token signed by a store
    │   │   ├── PaymentTokenError
    │   │   └── RevocationTokenError
    │   └── IdentifierError                      a release id, format, licence id, …
    ├── RefusedError                    exit 3   somebody who may say no said no
    │   ├── LicensingRefused                     a problem document (RFC 9457) from licensing
    │   ├── AnnounceRefused                      the tracker's failure reason
    │   └── LicenceRefused                       a licence of ours that may not be used now
    │       ├── LicenceRevoked                   … ever again: a refund or chargeback
    │       └── LicenceExpired                   its certificate ended and was not renewed
    ├── UnreachableError                exit 4   nobody answered, or not with the right certificate
    │   └── AnswerLost                           the connection broke before the whole answer
    ├── StorageError                    exit 1   a disk, folder or file of ours
    │   └── DiskFullError                        no space for what is to come
    ├── DownloadError                   exit 1   an album that could not be completed
    └── SomeFailed                      exit 1   some of several things, each said when it failed

Errors carry fields; `str()` is the one clear line that a person reads. Nothing secret goes in.
"""

from typing import ClassVar


class AlbumswarmError(Exception):
    """Root of the tree."""

    exit_code: ClassVar[int] = 1


class UsageError(AlbumswarmError):
    """The command cannot be carried out as it was given; the message says what to change."""

    exit_code: ClassVar[int] = 2


class ConfigError(UsageError):
    """A configuration file is missing, unreadable or says something we do not know."""


class LibraryInUse(UsageError):
    """Another process downloads with this library."""


class WireError(AlbumswarmError):
    """Bytes from outside that do not parse, or do not verify. Never partly accepted."""


class BencodeError(WireError):
    """Not canonical bencoding (BEP 3), or beyond the depth or size allowed."""


class MetainfoError(WireError):
    """Not a torrent of this network: v2-only, private, sealed (BEP 52, BEP 27, `ssl-cert`)."""


class SignatureError(WireError):
    """A BEP 35 signature that is missing, broken, or not by the store."""


class AnnounceError(WireError):
    """A tracker request or response that is not one (BEP 3, 7, 23, 31)."""


class PeerProtocolError(WireError):
    """What a peer sent is not the peer wire protocol (BEP 3, 6, 10, 52)."""


class CertificateError(WireError):
    """A certificate, CSR or CRL that does not fit its profile or does not verify."""


class StoreTokenError(WireError):
    """A store's token that is refused. `reason` is a stable word, the message a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        """Take `reason`, one of `client_lib.wire.store_token.REASONS`, and the sentence."""
        super().__init__(message)
        self.reason = reason


class PaymentTokenError(StoreTokenError):
    """A payment token."""


class RevocationTokenError(StoreTokenError):
    """A revocation token: refund, chargeback, or the end of one."""


class IdentifierError(WireError):
    """A release id, format, torrent name, licence id or info-hash of the wrong shape."""


class RefusedError(AlbumswarmError):
    """Somebody who may say no said no."""

    exit_code: ClassVar[int] = 3


class LicensingRefused(RefusedError):
    """Licensing answered with a problem document (RFC 9457)."""

    def __init__(self, problem_type: str, status: int, detail: str) -> None:
        """Take the stable problem type (`urn:albumswarm:problem:…`), HTTP status and sentence."""
        super().__init__(detail)
        self.problem_type = problem_type
        self.status = status
        self.detail = detail


class AnnounceRefused(RefusedError):
    """The tracker answered with a `failure reason` (BEP 3)."""

    def __init__(self, reason: str, retry_in_s: int | None = None) -> None:
        """Take the tracker's sentence and BEP 31's `retry in` in seconds, None for never."""
        super().__init__(reason)
        self.reason = reason
        self.retry_in_s = retry_in_s


class LicenceRefused(RefusedError):
    """A licence of this device that is revoked, unknown or out of date."""


class LicenceRevoked(LicenceRefused):
    """A licence that was taken back: a refund or a chargeback."""


class LicenceExpired(LicenceRefused):
    """A licence whose certificate has ended, or is not valid by this device's clock."""


class UnreachableError(AlbumswarmError):
    """Nobody answered at `url`, or the answer came under a certificate that we do not trust."""

    exit_code: ClassVar[int] = 4

    def __init__(self, url: str, why: str) -> None:
        """Take the URL without query or credentials, and the cause in words."""
        super().__init__(f"{url}: {why}")
        self.url = url
        self.why = why


class AnswerLost(UnreachableError):
    """A connection that stood broke before the whole answer: what was asked may have been done."""


class StorageError(AlbumswarmError):
    """A file or folder of ours cannot be read or written; the message names it."""


class DiskFullError(StorageError):
    """No space for what is to come. What is there is kept."""

    def __init__(self, where: str, needed_bytes: int, free_bytes: int) -> None:
        """Take the folder, what is to come, and what is free beside other albums' needs."""
        super().__init__(
            f"{where}: {needed_bytes / 1e6:.0f} MB to come and {free_bytes / 1e6:.0f} MB free: "
            "make room; what is there is kept"
        )
        self.where = where
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class DownloadError(AlbumswarmError):
    """An album could not be completed; what was fetched is kept."""


class SomeFailed(AlbumswarmError):
    """Some of several things that were asked for failed; which, was said before."""
