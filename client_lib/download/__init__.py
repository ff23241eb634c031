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

from client_lib.download.client import Client, open_client
from client_lib.download.events import (
    CertificateRenewed,
    DiskFull,
    Event,
    Failed,
    Finished,
    Paused,
    Progress,
    Queued,
    Revoked,
    Seeding,
    Stalled,
    Started,
    Trouble,
    Verified,
    Warned,
    WarningKind,
)
from client_lib.download.job import DownloadJob
from client_lib.download.queue import Order, QueueEntry, QueueState
from client_lib.download.schedule import ScheduleRule, Weekday
from client_lib.download.settings import ClientSettings
from client_lib.download.stall import StallReason
from client_lib.download.summary import JobSummary
from client_lib.download.verification import FileFinding, FileState
from client_lib.swarm.settings import SessionSettings

__all__ = [
    "CertificateRenewed",
    "Client",
    "ClientSettings",
    "DiskFull",
    "DownloadJob",
    "Event",
    "Failed",
    "FileFinding",
    "FileState",
    "Finished",
    "JobSummary",
    "Order",
    "Paused",
    "Progress",
    "QueueEntry",
    "QueueState",
    "Queued",
    "Revoked",
    "ScheduleRule",
    "Seeding",
    "SessionSettings",
    "StallReason",
    "Stalled",
    "Started",
    "Trouble",
    "Verified",
    "Warned",
    "WarningKind",
    "Weekday",
    "open_client",
]
