"""What all albums of a job share."""

import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass

import trio
from cryptography import x509

from client_lib.download.clock_watch import ClockWatch
from client_lib.download.disk.disk_use import DiskUse
from client_lib.download.disk.space import SpaceLedger
from client_lib.download.events import Event
from client_lib.download.library import DeviceLibrary, DownloadState
from client_lib.download.line.fallback import FallbackTuning
from client_lib.download.traffic.seeding_goal import SeedingGoal
from client_lib.errors import CertificateError, LicenceExpired
from client_lib.membership import Membership, join
from client_lib.swarm.session import Session
from client_lib.transport.key_encryption import KeyEncryption
from client_lib.transport.licensing_client import LicensingClient
from client_lib.wire.licensing_api import LicenceRecord


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every album of a job shares."""

    library: DeviceLibrary
    session: Session
    licensing: LicensingClient
    ca: x509.Certificate
    patience_s: float
    stalled_after_s: float
    emit: Callable[[Event], None]
    clock: Callable[[], dt.datetime]
    rng: random.Random
    clock_watch: ClockWatch
    space: SpaceLedger
    fallback: FallbackTuning
    goal: SeedingGoal
    disk: DiskUse
    encryption: KeyEncryption

    async def join(self, licence: LicenceRecord) -> Membership:
        """Get torrent and certificate of a licence; see `membership.join`."""
        try:
            return await join(
                licence,
                self.library.licence_folder(licence.licence_id),
                self.licensing,
                ca=self.ca,
                now=self.clock(),
                rng=self.rng,
                on_issued=self.clock_watch.note_issued,
                encryption=self.encryption,
            )
        except CertificateError as error:
            if not self.clock_watch.is_off:
                raise
            sentence = self.clock_watch.sentence()
            raise LicenceExpired(f"{licence.name}: {error}; {sentence}") from error

    async def join_ahead(self, licence: LicenceRecord) -> Membership | None:
        """Join an album whose turn comes soon; nobody is asked about one that is complete."""
        await trio.lowlevel.checkpoint()
        record = self.library.download(licence.licence_id)
        if record is not None and record.state is DownloadState.COMPLETE:
            return None
        return await self.join(licence)
