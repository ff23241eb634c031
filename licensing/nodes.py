"""Nodes: certificates for seeders and trackers, as their API keys say who they are."""

import datetime as dt
from dataclasses import dataclass

from client_lib.wire.certificates import HostIdentity, SeederIdentity
from client_lib.wire.licensing_api import CertificateAnswer
from licensing.authority import Authority
from licensing.ledger import ApiKey, IssuedNodeCertificate, Ledger, Role


@dataclass(frozen=True, slots=True)
class Nodes:
    """Certifies nodes. The key decides the identity; the CSR brings only a public key."""

    ledger: Ledger
    authority: Authority

    async def certificate(self, key: ApiKey, csr: str, *, now: dt.datetime) -> CertificateAnswer:
        """Issue a seeder's or a tracker host's certificate. Raises Refusal."""
        identity = (
            SeederIdentity(key.key_id)
            if key.role is Role.SEEDER
            else HostIdentity(key.key_id, key.hosts)
        )
        leaf = self.authority.certify(identity, self.authority.public_key(csr), now=now)
        issued = IssuedNodeCertificate(leaf.serial_number, key.key_hash, leaf.not_valid_after_utc)
        await self.ledger.record_node_certificate(issued, now=now)
        return self.authority.answer(leaf)
