"""Options that the `albumswarm` commands share, and how they become client settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from client_lib.byte_counts import parse_bytes
from client_lib.cli.passphrases import asked_passphrase, given_passphrase
from client_lib.config import load_config
from client_lib.download.library import DeviceLibrary
from client_lib.download.settings import ClientConfig, ClientSettings, default_data_folder
from client_lib.download.traffic.seeding_goal import SeedingGoal
from client_lib.durable import read_text
from client_lib.errors import UsageError
from client_lib.protection import (
    KeyringProtection,
    PassphraseProtection,
    Protection,
    ProtectionKind,
)
from client_lib.swarm.settings import SessionSettings


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Options:
    """Options of every command."""

    config: Annotated[
        Path | None, Parameter(help="Configuration file (TOML); options win over it.")
    ] = None
    data: Annotated[
        Path | None,
        Parameter(
            help="Folder of this device's secret, licences and keys (default: the system's place "
            "for a user's data, such as ~/.local/share/albumswarm).",
            env_var="ALBUMSWARM_DATA",
        ),
    ] = None
    licensing_url: Annotated[
        str | None,
        Parameter(help="The store's licensing service, https://host[:port]. Remembered."),
    ] = None
    licensing_ca: Annotated[
        Path | None,
        Parameter(help="PEM file to trust for it instead of the system's roots. Remembered."),
    ] = None
    passphrase_file: Annotated[
        Path | None,
        Parameter(help="Passphrase of a protected device; or ALBUMSWARM_PASSPHRASE; or asked for."),
    ] = None
    json: Annotated[bool, Parameter(help="Print JSON for programs.")] = False

    def load(self) -> ClientConfig:
        """Read the configuration file, if one is named."""
        return ClientConfig() if self.config is None else load_config(self.config, ClientConfig)

    def data_folder(self) -> Path:
        """The device's folder."""
        return expanded(self.data or default_data_folder())

    def protection(self, data_folder: Path) -> Protection | None:
        """What opens the device's secret, as far as it is sealed. Raises UsageError."""
        sealed = DeviceLibrary(data_folder).sealed_secret()
        if sealed is not None and sealed.kind is ProtectionKind.KEYRING:
            return KeyringProtection()
        passphrase = given_passphrase(self.passphrase_file)
        if passphrase is None and sealed is not None:
            passphrase = asked_passphrase()
        return None if passphrase is None else PassphraseProtection(passphrase)

    def settings(
        self,
        line: "LineOptions | None" = None,
        *,
        concurrent: int | None = None,
        folder_template: str | None = None,
    ) -> ClientSettings:
        """Settings for `open_client`: flags win over the file."""
        config = self.load()
        url = self.licensing_url or config.licensing_url
        ca = self.licensing_ca or (Path(config.licensing_ca) if config.licensing_ca else None)
        data_folder = self.data_folder()
        whole_line = line.uses_whole_line(config) if line else False
        return ClientSettings(
            data_folder=data_folder,
            secrets=self.protection(data_folder),
            licensing_url=url,
            licensing_ca=None if ca is None else _read_ca(ca),
            session=line.session(config) if line else SessionSettings(listen_port=0),
            upload_share=None if whole_line else 0.8,
            seeding_goal=line.goal(config) if line else SeedingGoal(),
            concurrent_albums=concurrent or config.concurrent_albums or None,
            schedule=config.schedule,
            folder_template=config.folder_template if folder_template is None else folder_template,
            checksums=config.checksums,
        )


def _read_ca(path: Path) -> str:
    text = read_text(path)
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise UsageError(f"{path}: holds no PEM certificate")
    return text


def expanded(folder: Path) -> Path:
    """Put the home folder in place of `~`. Raises UsageError for a user who does not exist."""
    try:
        return folder.expanduser()
    except RuntimeError as error:
        raise UsageError(f"{folder}: there is no such home folder") from error


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class LineOptions:
    """Options of the commands that use the network line."""

    port: Annotated[int | None, Parameter(help="TCP port for peers (default: any free one).")] = (
        None
    )
    listen_host: Annotated[
        str | None, Parameter(help="Listen on this address only, such as 127.0.0.1.")
    ] = None
    upload_limit: Annotated[
        str | None,
        Parameter(
            name=("--upload-limit", "--up"),
            help="Most to give to others, in bytes per second, such as 500kB; 0: no limit. "
            "Default: 80 % of the line.",
        ),
    ] = None
    download_limit: Annotated[
        str | None,
        Parameter(
            name=("--download-limit", "--down"),
            help="Most to take, in bytes per second, such as 4MB; 0 (default): no limit.",
        ),
    ] = None
    limit_local_peers: Annotated[
        bool, Parameter(help="Apply the limits on loopback and private networks too.")
    ] = False

    no_upload: Annotated[bool, Parameter(help="Give nothing to others: for metered lines.")] = False
    no_port_mapping: Annotated[
        bool, Parameter(help="Do not ask the router for a port (UPnP, NAT-PMP).")
    ] = False
    seed_until: Annotated[
        str | None,
        Parameter(help="Give a complete album until `ratio=1.5`, `time=2h` or both; `none`: on."),
    ] = None

    def goal(self, config: ClientConfig) -> SeedingGoal:
        """When a complete album need not be given any longer. Raises UsageError."""
        return SeedingGoal.parse(self.seed_until or config.seed_until)

    def uses_whole_line(self, config: ClientConfig) -> bool:
        """Tell whether an upload limit of 0 was asked for: no limit at all. Raises UsageError."""
        named = config.upload_limit is not None or self.upload_limit is not None
        return named and self._upload_bytes_s(config) == 0

    def session(self, config: ClientConfig) -> SessionSettings:
        """Settings of the swarm session: flags win over the file. Raises UsageError."""
        return SessionSettings(
            listen_port=config.port if self.port is None else self.port,
            listen_host=self.listen_host or config.listen_host,
            upload_limit_bytes_s=self._upload_bytes_s(config),
            download_limit_bytes_s=_rate(
                ("--down", self.download_limit), ("download_limit", config.download_limit)
            ),
            limit_local_peers=self.limit_local_peers or config.limit_local_peers,
            port_mapping=config.port_mapping
            and not self.no_port_mapping
            and (self.listen_host or config.listen_host) is None,
            upload=config.upload and not self.no_upload,
        )

    def _upload_bytes_s(self, config: ClientConfig) -> int:
        return _rate(("--up", self.upload_limit), ("upload_limit", config.upload_limit))


def _rate(*named: tuple[str, str | int | None]) -> int:
    """The first that is given, by the name of its option or key; 0 if none is."""
    return next((parse_bytes(name, rate) for name, rate in named if rate is not None), 0)
