"""An album's torrent, certificate and key as files for other BitTorrent clients."""

import os
import shutil
import tempfile
from pathlib import Path

from client_lib.durable import sync_folder, write_atomically, write_secret
from client_lib.errors import StorageError, UsageError
from client_lib.membership import Membership

CERTIFICATE_FILE, KEY_FILE, README_FILE = "certificate.pem", "key.pem", "README.txt"

_README = """{name}: for BitTorrent clients with SSL torrents (libtorrent 2, qBittorrent 5)

{name}.torrent    this licence's torrent
{certificate}     this licence's certificate, good until {until}
{key}             its private key: whoever has it can download as you

libtorrent: add the torrent paused, call set_ssl_certificate({certificate}, {key}, dh) of its
torrent_handle with the files' paths, then resume it. `dh` is a file with Diffie-Hellman
parameters, such as those of RFC 7919; with an empty path there is a warning, and it works too.
To be reached by others, listen for TLS: listen_interfaces "0.0.0.0:6881s".
qBittorrent: torrents/add, then torrents/setSSLParameters of its Web API.

After {until} peers and trackers refuse the certificate: `albumswarm export` again, into another
folder, and set the new one.
"""


def export_membership(member: Membership, folder: Path) -> Path:
    """Write the files into a new folder `<folder>/<torrent name>` (0700), whole or not at all.

    Raises UsageError if that is there already, StorageError.
    """
    final = folder / member.licence.name
    if os.path.lexists(final):
        raise UsageError(f"{final} is there already, and nothing is overwritten: name another --to")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=folder, prefix=f".{final.name}."))
    except OSError as error:
        raise StorageError(f"cannot write to {folder}: {error.strerror}") from error
    try:
        _write(member, staging)
        staging.rename(final)
        sync_folder(folder)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise StorageError(f"cannot make {final}: {error.strerror}") from error
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return final


def _write(member: Membership, folder: Path) -> None:
    credential, name = member.credential, member.licence.name
    until = credential.certificate.not_valid_after_utc.strftime("%Y-%m-%d %H:%M UTC")
    readme = _README.format(name=name, certificate=CERTIFICATE_FILE, key=KEY_FILE, until=until)
    write_atomically(folder / f"{name}.torrent", member.torrent)
    write_atomically(folder / CERTIFICATE_FILE, credential.certificate_pem.encode())
    write_secret(folder / KEY_FILE, credential.key_pem.encode())
    write_atomically(folder / README_FILE, readme.encode())
