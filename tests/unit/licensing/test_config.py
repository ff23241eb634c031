from pathlib import Path

import pytest

from client_lib.config import load_config
from client_lib.errors import ConfigError
from licensing.config import IssuerConfig, LicensingConfig, parse_address
from licensing.data_folder import render_config

CONFIG = LicensingConfig(
    store="com.example.shop",
    public_url="https://licensing.example",
    trackers=("https://t1.example:8444", "https://t2.example"),
    listen=("0.0.0.0:443", "[::]:443"),
    tls_certificate='odd "name".pem',
    tls_key="schlüssel.pem",
)


def test_first_configuration_reads_back_and_names_every_key(tmp_path: Path) -> None:
    path = tmp_path / "licensing.toml"
    text = render_config(CONFIG, [("my shop", "k-1", "shop.pub.pem")])
    path.write_text(text)
    expected = IssuerConfig("my shop", {"k-1": "shop.pub.pem"})
    loaded = load_config(path, LicensingConfig)
    assert loaded.issuers == (expected,)
    for name in LicensingConfig.__struct_fields__:
        assert name in text
        if name != "issuers":
            assert getattr(loaded, name) == getattr(CONFIG, name)
    path.write_text(render_config(CONFIG, []))
    assert load_config(path, LicensingConfig) == CONFIG


@pytest.mark.parametrize(
    "line",
    [
        'public_url = "https://host/path"',
        'public_url = "https://host/"',
        'public_url = "https://user@host"',
        'public_url = "https://host:99999"',
        'public_url = "https://host?x"',
        'public_url = "https://127.0.0.1:8443"',
        "trackers = []",
        'trackers = ["https://a", "https://a"]',
        'trackers = ["http://a"]',
        'web_seeds = ["http://a"]',
        'web_seeds = ["https://a/releases/"]',
        'web_seeds = ["https://a", "https://a"]',
        'tls_certificate = "x"',
        "leeway_s = -1",
        "crl_lifetime_s = 0",
        'listen = ["host"]',
        'unknown = "x"',
    ],
)
def test_wrong_configuration_names_the_file_and_the_key(tmp_path: Path, line: str) -> None:
    key = line.split(" = ")[0]
    good = {
        "store": 'store = "com.example.shop"',
        "public_url": 'public_url = "https://host"',
        "trackers": 'trackers = ["https://t"]',
    }
    path = tmp_path / "licensing.toml"
    path.write_text("\n".join((good | {key: line}).values()))
    with pytest.raises(ConfigError) as caught:
        load_config(path, LicensingConfig)
    assert str(path) in str(caught.value)
    assert key in str(caught.value)


def test_addresses_of_both_families() -> None:
    assert parse_address("localhost:0") == ("localhost", 0)
    assert parse_address("[::1]:8443") == ("::1", 8443)
    for wrong in ("::1:8443", "host", "host:", ":1", "host:70000", "host:-1"):
        with pytest.raises(ValueError, match="not host:port"):
            parse_address(wrong)
