"""The HTTPS port's certificate changes while connections live on."""

import datetime as dt
import re
import ssl
from pathlib import Path

import pytest
import trio

from client_lib.errors import ConfigError, StorageError, UsageError
from client_lib.transport.tls import client_context
from client_lib.wire.certificates import HostIdentity
from licensing import https
from licensing.config import utc_now
from tests.integration.licensing.running import found_folder, running
from tests.patience import PATIENCE_S
from tests.pki import SwarmPki


async def _served_certificate(address: str, ca_pem: str) -> bytes:
    host, _, port = address.partition(":")
    stream = await trio.open_ssl_over_tcp_stream(
        host, int(port), ssl_context=client_context(ca_pem), https_compatible=True
    )
    async with stream:
        await stream.do_handshake()
        der = stream.getpeercert(binary_form=True)
        assert isinstance(der, bytes)
        return der


async def _until_changed(address: str, ca_pem: str, old: bytes) -> bytes:
    with trio.fail_after(PATIENCE_S):
        while (served := await _served_certificate(address, ca_pem)) == old:
            await trio.lowlevel.checkpoint()
        return served


async def test_own_certificate_is_renewed_without_dropping_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(https, "_CHECKED_EVERY_S", 0.05)
    folder = await found_folder(tmp_path / "licensing")
    shift = [dt.timedelta(days=-20)]
    async with running(folder, clock=lambda: utc_now() + shift[0]) as service:
        old = await _served_certificate(service.address, service.ca_pem)
        async with service.http() as http:
            assert (await http.get("/healthz")).status_code == 200
            shift[0] = dt.timedelta(0)
            new = await _until_changed(service.address, service.ca_pem, old)
            assert (await http.get("/healthz")).status_code == 200
        assert new != old
    assert folder.https.stat().st_mode & 0o777 == 0o600


async def test_configured_files_are_served_and_read_again_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(https, "_CHECKED_EVERY_S", 0.05)
    public = SwarmPki("public CA")
    root = tmp_path / "licensing"
    settings = {"tls_certificate": "tls/chain.pem", "tls_key": "tls/key.pem"}
    folder = await found_folder(root, **settings)
    (root / "tls").mkdir()

    def renew() -> None:
        leaf = public.issue(HostIdentity("web", ("localhost",)))
        (root / "tls/key.pem").write_text(leaf.key_pem)
        (root / "tls/chain.pem").write_text(leaf.certificate_pem)

    renew()
    async with running(folder) as service:
        first = await _served_certificate(service.address, public.ca_pem)
        key = (root / "tls/key.pem").read_text()
        renew()
        (root / "tls/key.pem").write_text(key)  # half renewed: the old pair goes on serving
        with trio.fail_after(PATIENCE_S):
            while "not renewed" not in "".join(capsys.readouterr()):
                assert await _served_certificate(service.address, public.ca_pem) == first
        assert await _served_certificate(service.address, public.ca_pem) == first
        renew()
        assert await _until_changed(service.address, public.ca_pem, first) != first
        with pytest.raises((ssl.SSLError, trio.BrokenResourceError)):
            await _served_certificate(service.address, service.ca_pem)


async def test_files_that_cannot_be_served_stop_the_start(tmp_path: Path) -> None:
    settings = {"tls_certificate": "nothing.pem", "tls_key": "nothing.pem"}
    folder = await found_folder(tmp_path / "licensing", **settings)
    with pytest.raises(ExceptionGroup) as caught:
        async with running(folder):
            pass
    assert caught.group_contains(StorageError, match="tls_certificate .*nothing.pem")


async def test_port_in_use_is_told(tmp_path: Path) -> None:
    folder = await found_folder(tmp_path / "licensing")
    async with running(folder) as service:
        with pytest.raises(UsageError, match=r"cannot listen.* in use"):
            https.listen_now(await https.bind_sockets((service.address,)))


async def test_configuration_is_checked(tmp_path: Path) -> None:
    folder = await found_folder(tmp_path / "licensing")
    original = folder.config.read_text()
    for old, new, message in (
        ("leeway_s = 60", "leway_s = 60", "unknown key `leway_s`"),
        ("leeway_s = 60", 'leeway_s = "x"', "key leeway_s"),
        ('"https://localhost:8443"', '"http://localhost"', "public_url: .* is not https://"),
        ("com.example.shop", "shop", "reverse DNS"),
        ("localhost:0", "localhost", "not host:port"),
        ("test-store.pub.pem", "nothing.pem", "nothing.pem: No such file"),
        ("test-store.pub.pem", "swarm-ca.pem", "not a public key"),
    ):
        folder.config.write_text(original.replace(old, new))
        with pytest.raises((ExceptionGroup, ConfigError)) as caught:
            async with running(folder):
                pass
        error = caught.value
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        assert isinstance(error, ConfigError)
        assert re.search(message, str(error)), str(error)


async def test_cancelled_service_ends_without_an_error(tmp_path: Path) -> None:
    folder = await found_folder(tmp_path / "licensing")
    with trio.CancelScope() as scope:
        async with running(folder) as service, service.http() as http:
            assert (await http.get("/healthz")).status_code == 200
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
