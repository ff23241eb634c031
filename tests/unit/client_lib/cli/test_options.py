"""Options and configuration file become settings: flags win, rates may have units."""

from pathlib import Path

import pytest

from client_lib.cli.options import LineOptions
from client_lib.config import load_config
from client_lib.download.settings import ClientConfig


@pytest.mark.parametrize(
    ("flag", "key", "bytes_s", "whole_line"),
    [
        (None, "", 0, False),
        (None, "upload_limit = 0", 0, True),
        (None, "upload_limit = 500000", 500_000, False),
        (None, 'upload_limit = "1.5MB"', 1_500_000, False),
        ("500kB", "upload_limit = 0", 500_000, False),
        ("0", 'upload_limit = "1MB"', 0, True),
        ("2MiB/s", "", 2 << 20, False),
    ],
)
def test_upload_limit(
    tmp_path: Path, flag: str | None, key: str, bytes_s: int, *, whole_line: bool
) -> None:
    (tmp_path / "c.toml").write_text(key)
    config = load_config(tmp_path / "c.toml", ClientConfig)
    options = LineOptions(upload_limit=flag)
    assert options.session(config).upload_limit_bytes_s == bytes_s
    assert options.uses_whole_line(config) == whole_line


def test_download_limit(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('download_limit = "4MB"')
    config = load_config(tmp_path / "c.toml", ClientConfig)
    assert LineOptions().session(config).download_limit_bytes_s == 4_000_000
    assert LineOptions(download_limit="16k").session(config).download_limit_bytes_s == 16_000
    assert LineOptions().session(ClientConfig()).download_limit_bytes_s == 0
