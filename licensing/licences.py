"""Licences at work: certificates for their swarms, and torrents that are the customer's own."""

import datetime as dt
from dataclasses import dataclass
from functools import partial

import trio
from cryptography import x509

from client_lib.wire.certificates import LicenceIdentity
from client_lib.wire.licence import LicenceId
from client_lib.wire.licensing_api import CertificateAnswer, Library
from client_lib.wire.signature import Stamp, stamp
from licensing.authority import Authority
from licensing.catalogue import Catalogue
from licensing.ledger import HeldLicence, Ledger
from licensing.signer import TorrentSigner
from licensing.trackers import announce_tiers, web_seeds


@dataclass(frozen=True, slots=True)
class Licences:
    """What a device may ask about its licences.

    `trackers`, `web_seed_hosts`: base URLs. `certificates_per_day`: for each licence and device.
    """

    ledger: Ledger
    authority: Authority
    catalogue: Catalogue
    signer: TorrentSigner
    trackers: tuple[str, ...]
    certificates_per_day: int
    web_seed_hosts: tuple[str, ...] = ()

    async def library(self, device_id: str) -> Library:
        """Every licence of the device; none yet is an empty library."""
        return Library(await self.ledger.library(device_id))

    async def certificate(
        self, licence_id: LicenceId, device_id: str, csr: str, *, now: dt.datetime
    ) -> CertificateAnswer:
        """Issue a licence certificate. Raises Refusal (unknown, revoked, limits, CSR)."""
        public_key = self.authority.public_key(csr)

        def make(held: HeldLicence) -> x509.Certificate:
            identity = LicenceIdentity(held.licence_id, held.name, held.info_hash)
            return self.authority.certify(identity, public_key, now=now)

        leaf = await self.ledger.issue_certificate(
            licence_id, device_id, make, limit=self.certificates_per_day, now=now
        )
        return self.authority.answer(leaf)

    async def torrent(self, licence_id: LicenceId, device_id: str, *, now: dt.datetime) -> bytes:
        """The release's torrent with this licence's announce URLs and web seeds, signed."""
        held = await self.ledger.held_licence(licence_id, device_id)
        torrent = await self.catalogue.metainfo(held.name)
        tiers = announce_tiers(self.trackers, held.info_hash, licence_id)
        seeds = web_seeds(self.web_seed_hosts, held.info_hash)
        signed = Stamp(licence_id, held.name, tiers, now.replace(microsecond=0), seeds)
        credential = self.signer.credential
        return await trio.to_thread.run_sync(
            partial(
                stamp,
                torrent,
                signed,
                store=self.signer.store,
                certificate=credential.certificate,
                key=credential.key,
            )
        )
