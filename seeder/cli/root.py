"""The `albumswarm-seeder` application, to which the commands attach themselves."""

from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter

from client_lib import __version__
from client_lib.console import EXIT_CODES, new_app
from seeder.config import SeederConfig, configure

_HELP = f"""Publish albums and guarantee their delivery.

1. `albumswarm-seeder publish DIR --format flac-16-44` with a publisher's API key, once an album;
2. `albumswarm-seeder serve --tracker https://tracker.example:8444` with a seeder's API key;
3. `albumswarm-seeder status` tells how it is doing.

Keys come from `albumswarm-licensing api-key`. {EXIT_CODES}
"""

app = new_app("albumswarm-seeder", _HELP, __version__)


@Parameter(name="*")
@dataclass(frozen=True)
class CommonOptions:
    """Options that every command has; each is a key of the configuration file too."""

    config: Path | None = None
    "Configuration file (TOML); options win over it."
    data: str | None = None
    "The node's own folder: certificate, catalogue, status."
    origin: str | None = None
    "Folder of the published releases, DATA/origin by default; or s3://BUCKET/PREFIX."


@Parameter(name="*")
@dataclass(frozen=True)
class LicensingOptions:
    """Where licensing is, and how to talk to it."""

    licensing_url: str | None = None
    "The licensing service, https://host:port."
    licensing_ca: str | None = None
    "PEM file with the CA to trust it by; the system's by default."
    api_key_file: str | None = None
    "File with the API key: role publisher for publish, role seeder for serve."


NO_COMMON = CommonOptions()
NO_LICENSING = LicensingOptions()


def configured(
    common: CommonOptions, licensing: LicensingOptions, **options: object
) -> SeederConfig:
    """The configuration file with the options on top. Raises ConfigError and UsageError."""
    return configure(
        common.config,
        data=common.data,
        origin=common.origin,
        licensing_url=licensing.licensing_url,
        licensing_ca=licensing.licensing_ca,
        api_key_file=licensing.api_key_file,
        **options,
    )
