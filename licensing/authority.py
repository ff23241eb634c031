"""The swarm's certificate authority: every leaf of the network, and its revocation list."""

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from client_lib.durable import read_text
from client_lib.errors import CertificateError, StorageError
from client_lib.passphrase import Passphrase
from client_lib.wire import certificates
from client_lib.wire.certificates import Identity
from client_lib.wire.crl import build_crl
from client_lib.wire.licensing_api import CertificateAnswer
from client_lib.wire.problem import ProblemType
from licensing.config import Clock
from licensing.ledger import RevokedCertificate
from licensing.passphrase import ENVIRONMENT_VARIABLE
from licensing.refusal import Refusal

SerialNumbers = Callable[[], int]
"""Random certificate serial numbers of up to 159 bits (RFC 5280, section 4.1.2.2)."""


@dataclass(frozen=True, slots=True, repr=False)
class Authority:
    """The swarm CA with its key. `serials` is a source of random serial numbers."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    serials: SerialNumbers

    def __repr__(self) -> str:
        """Never print the key."""
        return f"Authority({self.certificate.subject.rfc4514_string()!r}, …)"

    @property
    def pem(self) -> str:
        """The CA's certificate."""
        return certificates.certificate_pem(self.certificate)

    @staticmethod
    def public_key(csr: str) -> ec.EllipticCurvePublicKey:
        """All that is taken from a CSR (PEM): its key. Raises Refusal csr-refused."""
        try:
            return certificates.public_key_from_csr(csr)
        except CertificateError as error:
            raise Refusal(ProblemType.CSR_REFUSED, str(error)) from error

    def certify(
        self, identity: Identity, public_key: ec.EllipticCurvePublicKey, *, now: dt.datetime
    ) -> x509.Certificate:
        """Issue a leaf for a key."""
        return certificates.issue(
            identity,
            public_key,
            ca=self.certificate,
            ca_key=self.key,
            serial=self.serials(),
            now=now,
        )

    def answer(self, certificate: x509.Certificate) -> CertificateAnswer:
        """What a caller gets for its CSR."""
        return CertificateAnswer(
            certificate=certificates.certificate_pem(certificate),
            ca=self.pem,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )

    def self_service(
        self, identity: Identity, clock: Clock
    ) -> Callable[[str], Awaitable[CertificateAnswer]]:
        """Answer licensing's own requests for `identity`, as others get theirs over HTTP."""

        async def request_certificate(csr: str) -> CertificateAnswer:
            return self.answer(self.certify(identity, self.public_key(csr), now=clock()))

        return request_certificate

    def sign_crl(
        self,
        revoked: tuple[RevokedCertificate, ...],
        *,
        number: int,
        now: dt.datetime,
        next_update: dt.datetime,
    ) -> bytes:
        """DER of a CRL over `revoked`."""
        return build_crl(
            ((entry.serial, entry.revoked_at) for entry in revoked),
            ca=self.certificate,
            ca_key=self.key,
            number=number,
            now=now,
            next_update=next_update,
        )


def load_authority(
    certificate: Path, key: Path, *, serials: SerialNumbers, passphrase: Passphrase | None = None
) -> Authority:
    """Read the CA from its two files. Raises StorageError if they are not a pair.

    `passphrase` decrypts the key; then one that is not encrypted is refused.
    """
    pem = read_text(key)
    _require_encryption(key, pem, passphrase)
    try:
        ca = certificates.load_certificate(read_text(certificate))
        ca_key = certificates.load_key(pem, passphrase.secret if passphrase else None)
    except CertificateError as error:
        raise StorageError(f"swarm CA {certificate} with key {key}: {error}") from error
    if ca.public_key() != ca_key.public_key():
        raise StorageError(f"{key} is not the key of the swarm CA {certificate}")
    return Authority(ca, ca_key, serials)


def _require_encryption(path: Path, pem: str, passphrase: Passphrase | None) -> None:
    encrypted = "BEGIN ENCRYPTED PRIVATE KEY" in pem
    if encrypted and passphrase is None:
        raise StorageError(
            f"{path} is encrypted: name its passphrase_file in the configuration, or set "
            f"{ENVIRONMENT_VARIABLE}"
        )
    if not encrypted and passphrase is not None and "BEGIN PRIVATE KEY" in pem:
        raise StorageError(
            f"a passphrase is configured, but {path} is not encrypted: "
            "encrypt it with `openssl pkcs8 -topk8`"
        )
