"""What an embedder or a customer may choose."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec

from client_lib.download.disk.folder_template import DEFAULT_FOLDER_TEMPLATE
from client_lib.download.line.schedule import ScheduleRule
from client_lib.download.traffic.seeding_goal import SeedingGoal
from client_lib.errors import UsageError
from client_lib.protection import Protection
from client_lib.swarm.settings import SessionSettings


def default_data_folder() -> Path:
    """Where the device's folder is by the system's custom."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "albumswarm"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "albumswarm"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "albumswarm"


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Settings of `open_client`.

    `licensing_url` and `licensing_ca` (PEM) are remembered in `data_folder` after first use;
    `licensing_ca` None trusts the system's roots. `concurrent_albums` None: as many at a time as
    the line behaves best with. An album that receives nothing for `stalled_after_s` seconds says
    so; after `patience_s` it fails with DownloadError, its partial files kept. The rules of
    `schedule` replace the session's limits while they hold. The store's web seed is used, too,
    while the swarm gives less than `web_seed_below_bytes_s`; 0 for never. Without an upload limit
    in the session, `upload_share` of the upload line is used, None: all of it. Complete albums are
    given until `seeding_goal` is reached. `secrets` opens a
    protected `data_folder`, and protects a new one: PassphraseProtection or KeyringProtection.
    `folder_template` names the folders of new albums below the music folder, from the fields
    albumartist, album, year, format, release_id. With `checksums` each album has a file
    `checksums.sha256`.
    """

    data_folder: Path = field(default_factory=default_data_folder)
    licensing_url: str | None = None
    licensing_ca: str | None = None
    session: SessionSettings = field(
        default_factory=lambda: SessionSettings(listen_port=0, port_mapping=True)
    )
    concurrent_albums: int | None = None
    stalled_after_s: float = 15.0
    patience_s: float = 600.0
    schedule: tuple[ScheduleRule, ...] = ()
    secrets: Protection | None = None
    web_seed_below_bytes_s: int = 500_000
    upload_share: float | None = 0.8
    seeding_goal: SeedingGoal = field(default_factory=SeedingGoal)
    folder_template: str = DEFAULT_FOLDER_TEMPLATE
    checksums: bool = True

    def __post_init__(self) -> None:
        """Check the share. Raises UsageError."""
        if self.upload_share is not None and not 0 < self.upload_share <= 1:
            raise UsageError(f"an upload share of {self.upload_share}: above 0, at most 1, or None")


class ClientConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The command's configuration file (TOML). Every key may be left out; flags win over it.

    Rates are bytes per second, also as "500kB", 0 = no limit; without `upload_limit`, 80 % of the
    upload line. `upload` false: nothing is given. `seed_until` as `--seed-until`. `port` 0 takes
    any free one. `concurrent_albums` 0: as many at a time as the line behaves best with.
    """

    licensing_url: str | None = None
    licensing_ca: str | None = None
    music: str | None = None
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    listen_host: str | None = None
    upload_limit: int | str | None = None
    download_limit: int | str = 0
    limit_local_peers: bool = False
    port_mapping: bool = True
    upload: bool = True
    seed_until: str = "none"
    concurrent_albums: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    schedule: tuple[ScheduleRule, ...] = ()
    folder_template: str = DEFAULT_FOLDER_TEMPLATE
    checksums: bool = True
