"""The embedders' API: one trio-native client for licences, downloads and verification.

    async with open_client(ClientSettings(licensing_url="https://shop.example")) as client:
        licences = await client.redeem(payment_token)
        async with client.download(licences, into=music_folder) as job:
            async for event in job.events():  # conflated; byte totals never go backwards
                ...
        albums = await job.result()  # raises the first failure, typed

Cancelling the scope around a download stops it and keeps what was fetched. Errors are those of
`client_lib.errors`.
"""

import importlib
from typing import TYPE_CHECKING

from client_lib.download.events import (
    CertificateRenewed,
    DiskFull,
    Event,
    Failed,
    Fallback,
    Finished,
    GoalReached,
    Paused,
    PortMapped,
    Progress,
    Queued,
    Revoked,
    Seeding,
    Stalled,
    StallReason,
    Started,
    Trouble,
    Verified,
    Warned,
    WarningKind,
)
from client_lib.download.queue import Order, QueueEntry, QueueState
from client_lib.download.schedule import ScheduleRule, Weekday
from client_lib.download.seeding_goal import SeedingGoal
from client_lib.download.settings import ClientSettings
from client_lib.download.summary import JobSummary
from client_lib.download.traffic import AlbumTraffic, TrafficStats
from client_lib.download.verification import FileFinding, FileState, VerifyProgress
from client_lib.passphrase import Passphrase
from client_lib.protection import KeyringProtection, PassphraseProtection
from client_lib.swarm.settings import SessionSettings

if TYPE_CHECKING:
    from client_lib.download.client import Client, open_client
    from client_lib.download.job import DownloadJob
    from client_lib.download.repair import Repaired
    from client_lib.download.track_stream import TrackStream

__all__ = [
    "AlbumTraffic",
    "CertificateRenewed",
    "Client",
    "ClientSettings",
    "DiskFull",
    "DownloadJob",
    "Event",
    "Failed",
    "Fallback",
    "FileFinding",
    "FileState",
    "Finished",
    "GoalReached",
    "JobSummary",
    "KeyringProtection",
    "Order",
    "Passphrase",
    "PassphraseProtection",
    "Paused",
    "PortMapped",
    "Progress",
    "QueueEntry",
    "QueueState",
    "Queued",
    "Repaired",
    "Revoked",
    "ScheduleRule",
    "Seeding",
    "SeedingGoal",
    "SessionSettings",
    "StallReason",
    "Stalled",
    "Started",
    "TrackStream",
    "TrafficStats",
    "Trouble",
    "Verified",
    "VerifyProgress",
    "Warned",
    "WarningKind",
    "Weekday",
    "open_client",
]

# What downloads brings libtorrent and X.509, 0.2 s of loading: at first use (PEP 562), so that
# importing one light module of this package does not load them.
_LOADED_AT_USE = {
    "Client": "client_lib.download.client",
    "DownloadJob": "client_lib.download.job",
    "Repaired": "client_lib.download.repair",
    "TrackStream": "client_lib.download.track_stream",
    "open_client": "client_lib.download.client",
}


def __getattr__(name: str) -> object:
    """Load what was left out above."""
    if name not in _LOADED_AT_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LOADED_AT_USE[name]), name)
