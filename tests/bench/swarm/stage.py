"""What a scenario needs on disk: albums, torrents, and everybody's credentials."""

import os
from pathlib import Path

from client_lib.swarm.create import create_torrent
from client_lib.wire.certificates import HostIdentity, Identity, SeederIdentity
from client_lib.wire.metainfo import Metainfo
from tests.bench.swarm.network import SEEDER, TRACKER
from tests.bench.swarm.scenario import Release, Scenario
from tests.pki import SwarmPki, licence_identity

TRACKS = 8


class Stage:
    """A folder with everything in it. Credentials are by number: as `Lines`."""

    def __init__(self, root: Path, scenario: Scenario) -> None:
        """Make it."""
        self.root = root
        self.scenario = scenario
        self._pki = SwarmPki()
        self.ca.write_text(self._pki.ca_pem)
        infos = [self._publish(release) for release in scenario.releases]
        identities: list[Identity] = [SeederIdentity("seeder-1")]
        identities += [
            licence_identity(scenario.releases[buyer.release].name, infos[buyer.release], number=n)
            for n, buyer in enumerate(scenario.buyers, start=1)
        ]
        identities += [HostIdentity("bench", (TRACKER, SEEDER))]
        for number, identity in enumerate(identities):
            leaf = self._pki.issue(identity)
            base = self.credential(number)
            base.with_suffix(".crt").write_text(leaf.certificate_pem)
            base.with_suffix(".key").write_text(leaf.key_pem)
            base.with_suffix(".pem").write_text(leaf.key_pem + leaf.certificate_pem)

    @property
    def origin(self) -> Path:
        """Where the seeder has its albums."""
        return self.root / "origin"

    @property
    def ca(self) -> Path:
        """The swarm CA's certificate."""
        return self.root / "ca.pem"

    def credential(self, number: int) -> Path:
        """Certificate (.crt), key (.key) and both (.pem), without the suffix."""
        return self.root / f"credential-{number}"

    def report(self, number: int) -> Path:
        """Where a process leaves its report."""
        return self.root / f"report-{number}.json"

    def reports(self) -> list[Path]:
        """Those of the latest run."""
        return list(self.root.glob("report-*.json"))

    def torrent(self, release: Release) -> Path:
        """The torrent of an album."""
        return self.origin / f"{release.name}.torrent"

    def _publish(self, release: Release) -> bytes:
        """Make an album and its torrent; returns the info dictionary."""
        content = self.origin / release.name
        content.mkdir(parents=True)
        for number in range(TRACKS):
            track = os.urandom(release.size_bytes // TRACKS)
            (content / f"{number:02}.flac").write_bytes(track)
        torrent = create_torrent(content, name=release.name, ca_pem=self._pki.ca_pem)
        self.torrent(release).write_bytes(torrent)
        return Metainfo.from_bytes(torrent).info
