"""Nodes: certificates for seeders, web seeds and trackers, as their API keys say who they are."""

import datetime as dt
from dataclasses import dataclass

from client_lib.wire.certificates import HostIdentity, Identity, SeederIdentity
from client_lib.wire.licensing_api import CertificateAnswer
from client_lib.wire.problem import ProblemType
from licensing.authority import Authority
from licensing.ledger import ApiKey, IssuedNodeCertificate, Ledger, Role
from licensing.refusal import ROLE_REASON, Refusal


@dataclass(frozen=True, slots=True)
class Nodes:
    """Certifies nodes. The key decides the identity; the CSR brings only a public key."""

    ledger: Ledger
    authority: Authority

    async def certificate(
        self, key: ApiKey, csr: str, *, web_seed: bool, now: dt.datetime
    ) -> CertificateAnswer:
        """Issue a seeder's certificate, its `web_seed`'s or a tracker's. Raises Refusal."""
        identity = _identity(key, web_seed=web_seed)
        leaf = self.authority.certify(identity, self.authority.public_key(csr), now=now)
        issued = IssuedNodeCertificate(leaf.serial_number, key.key_hash, leaf.not_valid_after_utc)
        await self.ledger.record_node_certificate(issued, now=now)
        return self.authority.answer(leaf)


def _identity(key: ApiKey, *, web_seed: bool) -> Identity:
    if web_seed and (key.role is not Role.SEEDER or not key.hosts):
        raise Refusal(
            ProblemType.API_KEY_REFUSED,
            "this API key is of no web seed: make one with `api-key seeder --host NAME`",
            reason=ROLE_REASON,
        )
    if key.role is Role.SEEDER and not web_seed:
        return SeederIdentity(key.key_id)
    return HostIdentity(key.key_id, key.hosts)
