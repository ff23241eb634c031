"""Configuration: TOML into frozen records; a key that we do not know is an error."""

import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec

from client_lib.durable import read_text
from client_lib.errors import ConfigError, StorageError

T = TypeVar("T")


def load_config(path: Path, type_: type[T]) -> T:
    """Read `path` as TOML into the msgspec record `type_` (with `forbid_unknown_fields`).

    Raises ConfigError naming the file and the key.
    """
    try:
        document = tomllib.loads(read_text(path))
        return msgspec.convert(document, type_, dec_hook=_path)
    except StorageError as error:
        raise ConfigError(str(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_in_words(str(error))}") from error


def _path(type_: type, value: object) -> Path:
    if type_ is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"expected {type_.__name__}")


def _in_words(message: str) -> str:
    """Turn msgspec's "Object contains unknown field `x` - at `$.y`" into our own sentence."""
    what, _, where = message.partition(" - at `$")
    section = where.rstrip("`").lstrip(".")
    inside = f" in [{section}]" if section else ""
    if "unknown field" in what:
        return f"unknown key {what.rpartition('field ')[2]}{inside}"
    if "missing required field" in what:
        return f"missing key {what.rpartition('field ')[2]}{inside}"
    return f"key {section}: {what}" if section else what
