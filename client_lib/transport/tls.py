"""TLS contexts: who is trusted, and as whom we present ourselves."""

import importlib.util
import ssl
import sys
from pathlib import Path

from client_lib.errors import StorageError

_ATTEMPTS = 5
"""OpenSSL opens the file twice. Between the two, another process of the same folder may have put
its own in place, as two licensing services that start together do."""


def mutual_server_context(credential_file: Path, swarm_ca_pem: str) -> ssl.SSLContext:
    """Server side of mTLS: only peers with a certificate of the swarm CA finish the handshake.

    `credential_file` holds key and certificate in PEM. To renew, load it again into the live
    context: new connections get the new certificate. Session tickets stay on: without them every
    connection of a client that leaves Nagle on waits 40 ms for a delayed ACK, unless the server
    asks for TCP_QUICKACK (tracker/serving/tls.py).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=swarm_ca_pem)
    load_credential(context, credential_file)
    return context


def client_context(
    ca_pem: str, credential_file: Path | None = None, passphrase: bytes | None = None
) -> ssl.SSLContext:
    """Client side: trust `ca_pem` alone; with a credential file, present it (mTLS).

    `passphrase` opens its key if that is encrypted.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as error:
        raise StorageError("the CA file holds no PEM certificate") from error
    if not context.cert_store_stats()["x509"]:  # OpenSSL takes an empty text without a word
        raise StorageError("the CA file holds no PEM certificate")
    if credential_file is not None:
        load_credential(context, credential_file, passphrase)
    return context


def system_context() -> ssl.SSLContext:
    """Client side: trust whom the system trusts, or SSL_CERT_FILE and SSL_CERT_DIR name."""
    if sys.platform == "darwin" and importlib.util.find_spec("truststore"):
        # Python's OpenSSL finds no roots on macOS by itself; truststore asks the keychain.
        import truststore

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def load_credential(
    context: ssl.SSLContext, credential_file: Path, passphrase: bytes | None = None
) -> None:
    """(Re)load key and certificate into a context. Raises StorageError naming the file."""
    try:
        for left in reversed(range(_ATTEMPTS)):
            try:
                context.load_cert_chain(credential_file, password=passphrase)
                break
            except ssl.SSLError as error:
                if error.reason != "KEY_VALUES_MISMATCH" or not left:
                    raise
    except (OSError, ssl.SSLError) as error:
        raise StorageError(
            f"cannot use {credential_file}: {error.strerror or 'not a PEM key and certificate'}"
        ) from error
