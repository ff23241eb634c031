"""Who may be served: by the certificate that TLS has verified, whatever protocol follows."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from client_lib.errors import CertificateError
from client_lib.wire import certificates
from client_lib.wire.certificates import LicenceIdentity
from client_lib.wire.licence import LicenceId
from seeder.peers.refusal import Refusal


class NotLicensed(CertificateError):
    """The certificate opens nothing here; `reason` as metrics name it."""

    def __init__(self, reason: Refusal, sentence: str) -> None:
        """Take the reason, and a sentence for the other side."""
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Licensed:
    """A customer whose licence is good now."""

    licence: LicenceIdentity
    serial: int
    """Of the certificate."""
    left_s: float
    """Until it ends: a connection must not outlive it."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What decides about certificates. `clock` gives aware UTC."""

    is_revoked: Callable[[int], bool]
    """By serial number."""
    takes: Callable[[LicenceId], bool]
    """Whether a customer is wanted: a node that drains takes no new ones."""
    clock: Callable[[], dt.datetime]

    def admit(self, certificate_der: bytes) -> Licensed:
        """Read the licence of a certificate whose chain TLS has verified.

        For which release it is, the caller compares. Raises NotLicensed.
        """
        try:
            leaf = certificates.load_der_certificate(certificate_der)
            identity = certificates.identify(leaf)
        except CertificateError as error:
            raise NotLicensed(Refusal.OTHER_RELEASE, str(error)) from error
        if not isinstance(identity, LicenceIdentity):
            raise NotLicensed(Refusal.OTHER_RELEASE, "a licence certificate is needed")
        if self.is_revoked(leaf.serial_number):
            raise NotLicensed(Refusal.REVOKED, "the licence is not valid any more")
        # TLS has checked the dates, but not those of a session that was resumed.
        left_s = (leaf.not_valid_after_utc - self.clock()).total_seconds()
        if left_s < 0:
            raise NotLicensed(Refusal.EXPIRED, "the licence is not valid any more")
        if not self.takes(identity.licence_id):
            raise NotLicensed(Refusal.DRAINING, "this node is leaving")
        return Licensed(identity, leaf.serial_number, left_s)
