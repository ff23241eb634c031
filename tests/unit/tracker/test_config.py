import re
from pathlib import Path

import pytest

from client_lib.errors import ConfigError, UsageError
from tracker.__main__ import effective_config
from tracker.config import TrackerConfig, worker_configs

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "run-tracker.md"


def test_every_key_is_documented_and_no_other() -> None:
    table = HOW_TO.read_text().partition("## Configuration")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE)
    documented = [key for row in rows for key in re.findall(r"`(\w+)`", row)]
    assert sorted(documented) == sorted(TrackerConfig.__struct_fields__)


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


def test_each_worker_has_its_own_folder_and_ports() -> None:
    config = TrackerConfig(
        workers=3,
        data=Path("data"),
        port=9_000,
        plain_listen=("127.0.0.1:7000", "[::1]:7000", "unix:/run/tracker.sock"),
        metrics_listen="localhost:9100",
        copies_wanted=7,
    )
    first, _, third = worker_configs(config)
    assert (first.data, first.port, first.workers) == (Path("data/worker-0"), 9_000, 1)
    assert third == TrackerConfig(
        data=Path("data/worker-2"),
        port=9_002,
        plain_listen=("127.0.0.1:7002", "[::1]:7002", "unix:/run/tracker-2.sock"),
        metrics_listen="localhost:9102",
        copies_wanted=7,
    )


def test_any_free_port_is_any_free_port_for_every_worker() -> None:
    assert {worker.port for worker in worker_configs(TrackerConfig(workers=2, port=0))} == {0}


def test_more_workers_than_ports_is_an_error_that_says_so() -> None:
    with pytest.raises(ConfigError, match="port: worker 1 would listen on port 65536"):
        worker_configs(TrackerConfig(workers=2, port=65_535))


@pytest.mark.parametrize(
    "line",
    [
        'plain_listen = ["localhost"]',
        'plain_listen = ["localhost:99999"]',
        'metrics_listen = "0.0.0.0:9100"',
        'trusted_proxies = ["10.0.0.1/8"]',
        "workers = 0",
    ],
)
def test_impossible_addresses_are_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "tracker.toml"
    file.write_text(line)
    with pytest.raises(ConfigError, match=rf"tracker\.toml: .*{line.split()[0]}"):
        effective_config(file, {})


def test_an_impossible_flag_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="plain_listen: 'x' is not host:port"):
        effective_config(None, {"plain_listen": ("x",)})
