"""Configuration files: what is wrong is told with the key and the file."""

from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from client_lib.config import load_config
from client_lib.errors import ConfigError


class Store(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str | None = None
    stores: tuple[Store, ...] = ()
    main: Store | None = None


def test_file_becomes_a_record(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('url = "https://ü"\n[main]\nname = "a"\nport = 1\n[[stores]]\nname = "b"\n')
    assert load_config(path, Config) == Config("https://ü", (Store("b"),), Store("a", 1))
    path.write_text("")
    assert load_config(path, Config) == Config()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ulr = 'x'", "unknown key `ulr`"),
        ("[main]\nname = 'a'\nprt = 1", "unknown key `prt` in [main]"),
        ("[[stores]]\nname = 'a'\nprt = 1", "unknown key `prt` in [stores[0]]"),
        ("[main]\nport = 1", "missing key `name` in [main]"),
        ("url = 1", "key url: Expected `str | null`, got `int`"),
        ("[main]\nname = 'a'\nport = 70000", "key main.port: Expected `int` <= 65535"),
        ("url = ", "not TOML: Invalid value (at end of document)"),
        ("a = 1\na = 2\n", "not TOML: Cannot overwrite a value (at line 2, column 6)"),
    ],
)
def test_mistake_is_told_with_key_and_file(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_config(path, Config)
    assert str(refused.value) == f"{path}: {sentence}"
    assert refused.value.exit_code == 2


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    with pytest.raises(ConfigError, match=f"cannot read {path}: No such file"):
        load_config(path, Config)
    path.write_bytes(b'url = "\xff"')
    with pytest.raises(ConfigError, match=f"cannot read {path}: it is not UTF-8"):
        load_config(path, Config)
    with pytest.raises(ConfigError, match=f"cannot read {tmp_path}: Is a directory"):
        load_config(tmp_path, Config)
