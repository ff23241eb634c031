"""Credentials that are loaded while another process replaces them."""

import ssl
import threading
from pathlib import Path

import pytest

from client_lib.errors import StorageError
from client_lib.transport.tls import load_credential
from client_lib.wire.certificates import HostIdentity
from tests.pki import SwarmPki


def test_credential_that_is_replaced_meanwhile_is_loaded_whole(tmp_path: Path) -> None:
    pki, path = SwarmPki(), tmp_path / "https.pem"
    texts = []
    for _ in range(2):
        leaf = pki.issue(HostIdentity("licensing", ("localhost",)))
        texts.append(leaf.key_pem + leaf.certificate_pem)
    path.write_text(texts[0])
    done = threading.Event()

    def replace() -> None:
        number = 0
        while not done.is_set():
            number += 1
            new = tmp_path / "new"
            new.write_text(texts[number % 2])
            new.replace(path)
            done.wait(0.01)

    replacing = threading.Thread(target=replace)
    replacing.start()
    try:
        for _ in range(1_000):
            load_credential(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), path)
    finally:
        done.set()
        replacing.join()


def test_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    one, other = (SwarmPki().issue(HostIdentity("licensing", ("localhost",))) for _ in range(2))
    path = tmp_path / "https.pem"
    path.write_text(one.key_pem + other.certificate_pem)
    with pytest.raises(StorageError, match=r"https\.pem"):
        load_credential(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), path)
