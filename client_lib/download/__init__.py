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

if TYPE_CHECKING:
    from client_lib.download.client import Client, open_client
    from client_lib.download.disk.repair import Repaired
    from client_lib.download.disk.verification import FileFinding, FileState, VerifyProgress
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
    from client_lib.download.job import DownloadJob
    from client_lib.download.line.schedule import ScheduleRule, Weekday
    from client_lib.download.listening.track_stream import TrackStream
    from client_lib.download.queue import Order, QueueEntry, QueueState
    from client_lib.download.settings import ClientSettings
    from client_lib.download.summary import JobSummary
    from client_lib.download.traffic.ledger import AlbumTraffic, TrafficStats
    from client_lib.download.traffic.seeding_goal import SeedingGoal
    from client_lib.passphrase import Passphrase
    from client_lib.protection import KeyringProtection, PassphraseProtection
    from client_lib.swarm.settings import SessionSettings

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

# Where each name is. All are loaded at first use (PEP 562): downloads bring libtorrent and X.509,
# 0.2 s of loading, and the events alone 14 ms, which a `list` or an import should not wait for.
_HOMES = {
    "AlbumTraffic": "client_lib.download.traffic.ledger",
    "CertificateRenewed": "client_lib.download.events",
    "Client": "client_lib.download.client",
    "ClientSettings": "client_lib.download.settings",
    "DiskFull": "client_lib.download.events",
    "DownloadJob": "client_lib.download.job",
    "Event": "client_lib.download.events",
    "Failed": "client_lib.download.events",
    "Fallback": "client_lib.download.events",
    "FileFinding": "client_lib.download.disk.verification",
    "FileState": "client_lib.download.disk.verification",
    "Finished": "client_lib.download.events",
    "GoalReached": "client_lib.download.events",
    "JobSummary": "client_lib.download.summary",
    "KeyringProtection": "client_lib.protection",
    "Order": "client_lib.download.queue",
    "Passphrase": "client_lib.passphrase",
    "PassphraseProtection": "client_lib.protection",
    "Paused": "client_lib.download.events",
    "PortMapped": "client_lib.download.events",
    "Progress": "client_lib.download.events",
    "QueueEntry": "client_lib.download.queue",
    "QueueState": "client_lib.download.queue",
    "Queued": "client_lib.download.events",
    "Repaired": "client_lib.download.disk.repair",
    "Revoked": "client_lib.download.events",
    "ScheduleRule": "client_lib.download.line.schedule",
    "Seeding": "client_lib.download.events",
    "SeedingGoal": "client_lib.download.traffic.seeding_goal",
    "SessionSettings": "client_lib.swarm.settings",
    "StallReason": "client_lib.download.events",
    "Stalled": "client_lib.download.events",
    "Started": "client_lib.download.events",
    "TrackStream": "client_lib.download.listening.track_stream",
    "TrafficStats": "client_lib.download.traffic.ledger",
    "Trouble": "client_lib.download.events",
    "Verified": "client_lib.download.events",
    "VerifyProgress": "client_lib.download.disk.verification",
    "Warned": "client_lib.download.events",
    "WarningKind": "client_lib.download.events",
    "Weekday": "client_lib.download.line.schedule",
    "open_client": "client_lib.download.client",
}


def __getattr__(name: str) -> object:
    """Load a public name."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
