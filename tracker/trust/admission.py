"""Who may announce what: a certificate, a path and an info-hash, judged against CA and CRL."""

import datetime as dt
import enum
import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509

from client_lib.errors import AnnounceRefused, CertificateError
from client_lib.wire import certificates
from client_lib.wire.announce_answer import AnnounceFailure, Retry
from client_lib.wire.infohash import TruncatedInfoHash
from tracker.remembered import Remembered
from tracker.swarms.peers import MAX_PEERS_OF_OWNER, OWNER_BYTES, Owner

PEERS_OF_LICENCE = 3
"""Live peers of one licence in a swarm: its devices, not all of the customer's friends."""
PEERS_OF_SEEDER = MAX_PEERS_OF_OWNER


class Role(enum.Enum):
    """Roles that may join swarms."""

    LICENCE = "licence"
    SEEDER = "seeder"


_LICENCE = Role.LICENCE  # as a global name 0.01 µs, as the attribute of its class 0.13


class Refusal(enum.Enum):
    """Every reason to refuse an announce: stable word, sentence, minutes to the next attempt.

    On the wire: `failure reason` = "word: sentence" and `retry in` (BEP 31).
    """

    MALFORMED = "malformed", "this is not an announce", "never"
    CERTIFICATE = "certificate", "the certificate is not one of this network", "never"
    ROLE = "role", "a certificate of this role joins no swarm", "never"
    OTHER_LICENCE = "other-licence", "the announce URL is not this certificate's", "never"
    OTHER_SWARM = "other-swarm", "the licence is for another release", "never"
    REVOKED = "revoked", "the licence was revoked", "never"
    EXPIRED = "expired", "the certificate has expired: get a new one from licensing", 1
    NOT_YET_VALID = "not-yet-valid", "the certificate is not valid yet: is the clock right?", 5
    REVOCATIONS_UNKNOWN = "revocations-unknown", "the tracker has no current revocation list", 5

    def __init__(self, word: str, sentence: str, retry_in: Retry) -> None:
        """Take the parts of the value apart."""
        self.word = word
        self.sentence = sentence
        self.retry_in = retry_in


class NotAdmitted(AnnounceRefused):
    """An announce is refused, for one of the reasons of `Refusal`."""

    def __init__(self, refusal: Refusal, detail: str = "") -> None:
        """Take the refusal, and for a malformed announce what is wrong with it."""
        retry_in = refusal.retry_in
        super().__init__(
            f"{refusal.word}: {detail or refusal.sentence}",
            60 * retry_in if isinstance(retry_in, int) else None,
        )
        self.refusal = refusal

    def answer(self) -> bytes:
        """Bencoded answer to the announce."""
        return AnnounceFailure(self.reason, self.refusal.retry_in, self.retry_in_s).encode()


@dataclass(frozen=True, slots=True)
class Member:
    """Who a verified certificate is for. `info_hash` None: any swarm (a central seeder)."""

    role: Role
    member_id: str
    """Licence id or seeder id: what the announce path must end with."""
    owner: Owner
    info_hash: TruncatedInfoHash | None
    serial: int
    not_before_s: float
    not_after_s: float
    torrent_name: str | None = None
    """The release's, where the certificate is for one: accounts are easier to read with it."""

    @property
    def max_peers(self) -> int:
        """Live peers that it may have in one swarm, per address family."""
        return PEERS_OF_LICENCE if self.role is _LICENCE else PEERS_OF_SEEDER


class Revocations(Protocol):
    """What is known about revoked certificates."""

    @property
    def version(self) -> object:
        """Another object as soon as `is_revoked` may say something else."""

    def is_current(self, now_s: float) -> bool:
        """Whether the list is young enough to rely on."""

    def is_revoked(self, serial: int) -> bool:
        """Whether a certificate is on it."""


class Admission:
    """Verifies certificates against one swarm CA, and remembers those that it verified.

    A verification takes some 150 µs. Failures are not remembered: there is no end to them, and they
    would push the good ones out.
    """

    def __init__(self, ca: x509.Certificate, *, remembered: int = 131_072) -> None:
        """Take the swarm CA; remember at least that many members, if so many come.

        They take about 0.5 kB each, twice that number at most.
        """
        self._ca = ca
        self._members: Remembered[Member] = Remembered(remembered)
        self.on_recognised: Callable[[Member], None] | None = None
        """Told of a member whose certificate was verified just now and not only remembered."""

    def recognise(self, certificate_der: bytes) -> Member:
        """Verify the CA's signature and the profile, not the time. Raises NotAdmitted.

        Remembered by the SHA-256 of the DER: a tenth of its size, and 1.2 µs. A memory by the DER
        itself is quicker only while few clients are there: its keys are out of the caches else.
        """
        key = hashlib.sha256(certificate_der).digest()
        member = self._members.get(key)
        if member is None:
            member = self._verified(certificate_der)
            self._members.keep(key, member)
            if self.on_recognised is not None:
                self.on_recognised(member)
        return member

    def admit(
        self,
        member: Member,
        member_id: str,
        info_hash: TruncatedInfoHash,
        revocations: Revocations,
        now_s: float,
    ) -> None:
        """Let `member` announce `info_hash` under the path `/announce/<member_id>`, or refuse.

        Checked at every announce, because connections outlive certificates. Raises NotAdmitted.
        """
        if now_s > member.not_after_s:
            raise NotAdmitted(Refusal.EXPIRED)
        if now_s < member.not_before_s:
            raise NotAdmitted(Refusal.NOT_YET_VALID)
        if revocations.is_revoked(member.serial):
            raise NotAdmitted(Refusal.REVOKED)
        if not revocations.is_current(now_s):
            raise NotAdmitted(Refusal.REVOCATIONS_UNKNOWN)
        if member_id != member.member_id:
            raise NotAdmitted(Refusal.OTHER_LICENCE)
        if member.info_hash is not None and info_hash != member.info_hash:
            raise NotAdmitted(Refusal.OTHER_SWARM)

    def members(self, serials: Collection[int]) -> list[Member]:
        """Those of the remembered members whose certificate has one of these serial numbers."""
        return [member for member in self._members.values() if member.serial in serials]

    def _verified(self, certificate_der: bytes) -> Member:
        try:
            certificate = certificates.load_der_certificate(certificate_der)
            # At its own beginning it is valid, so that this checks the signature alone.
            begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            certificates.verify_issued(certificate, self._ca, begin)
            identity = certificates.identify(certificate)
        except (CertificateError, ValueError) as error:
            raise NotAdmitted(Refusal.CERTIFICATE) from error
        info_hash: TruncatedInfoHash | None
        torrent_name: str | None = None
        match identity:
            case certificates.LicenceIdentity(licence_id, torrent_name, full_info_hash):
                role, member_id, info_hash = Role.LICENCE, str(licence_id), full_info_hash.truncated
            case certificates.SeederIdentity(seeder_id):
                role, member_id, info_hash = Role.SEEDER, seeder_id, None
            case _:
                raise NotAdmitted(Refusal.ROLE)
        owner = Owner(hashlib.sha256(f"{role.value}:{member_id}".encode()).digest()[:OWNER_BYTES])
        return Member(
            role,
            member_id,
            owner,
            info_hash,
            certificate.serial_number,
            _posix(begin),
            _posix(end),
            torrent_name,
        )


def _posix(time: dt.datetime) -> float:
    return time.timestamp()
