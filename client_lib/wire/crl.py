"""Certificate revocation lists (RFC 5280, section 5): how a revocation reaches every verifier."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client_lib.errors import CertificateError


@dataclass(frozen=True, slots=True)
class RevocationList:
    """Serial numbers of revoked certificates, as of `this_update`, good until `next_update`."""

    serials: frozenset[int]
    number: int
    this_update: dt.datetime
    next_update: dt.datetime

    @classmethod
    def from_der(cls, der: bytes, *, ca: x509.Certificate) -> "RevocationList":
        """Parse a CRL and verify the CA's signature over it. Raises CertificateError."""
        ca_public_key = ca.public_key()
        if not isinstance(ca_public_key, ec.EllipticCurvePublicKey):
            raise CertificateError("the CA's key is not an EC key")
        try:
            crl = x509.load_der_x509_crl(der)
            genuine = crl.issuer == ca.subject and crl.is_signature_valid(ca_public_key)
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            serials = frozenset(revoked.serial_number for revoked in crl)
        except Exception as error:  # cryptography raises many kinds for hostile DER
            raise CertificateError("not a DER certificate revocation list") from error
        if not genuine:
            raise CertificateError("revocation list not signed by this swarm CA")
        if crl.next_update_utc is None:
            raise CertificateError("revocation list without nextUpdate")
        return cls(serials, number, crl.last_update_utc, crl.next_update_utc)


def build_crl(
    revoked: Iterable[tuple[int, dt.datetime]],
    *,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    number: int,
    now: dt.datetime,
    next_update: dt.datetime,
) -> bytes:
    """Sign a CRL over pairs of serial number and revocation time. DER."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.subject)
        .last_update(now)
        .next_update(next_update)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for serial, revoked_at in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial)
        builder = builder.add_revoked_certificate(entry.revocation_date(revoked_at).build())
    return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
