from pathlib import Path

import pytest

from client_lib.errors import ConfigError
from tracker.__main__ import effective_config
from tracker.config import TrackerConfig


def test_flags_override_the_file_and_the_file_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "tracker.toml"
    file.write_text('port = 1\nhost = "tracker.example"\ncrl_poll_s = 2\n')
    config = effective_config(file, {"port": 0, "host": None, "data": tmp_path})
    assert config == TrackerConfig(port=0, host="tracker.example", crl_poll_s=2, data=tmp_path)


def test_flags_alone_are_enough(tmp_path: Path) -> None:
    assert effective_config(None, {"api_key_file": tmp_path}).api_key_file == tmp_path


@pytest.mark.parametrize("line", ["prot = 1", "port = 65536", 'port = "x"', "interval_s = 0"])
def test_an_unknown_key_or_impossible_value_is_named_with_the_file(
    tmp_path: Path, line: str
) -> None:
    file = tmp_path / "tracker.toml"
    file.write_text(line)
    with pytest.raises(ConfigError, match=rf"tracker\.toml: .*{line.split()[0]}"):
        effective_config(file, {})
