"""albumswarm's client library: redeem a purchase, join its sealed swarm, get the album.

    from client_lib import ClientSettings, Progress, open_client

    async with open_client(ClientSettings(licensing_url="https://shop.example")) as client:
        licences = await client.redeem(payment_token)
        async with client.download(licences, into=music_folder) as job:
            async for event in job.events():
                ...
            albums = await job.result()

**Public** are the names of this package (those of `client_lib.download`, and the few records and
the root error that calls of it need), `client_lib.errors`, the records of `client_lib.wire`,
`client_lib.blocking` and `client_lib.testing`. Everything else may change in any version.

**Errors** are `AlbumswarmError`s, drawn as a tree in `client_lib.errors`. Catch the narrowest that
you can act on; `str(error)` is one clear line for a person, `error.exit_code` what the command
would end with.

**Cancellation** is trio's: cancel a scope, or leave an `async with` block, and what is inside
stops promptly; what was fetched is kept. No task outlives the block that started it.

**Threads.** A `Client` and its jobs belong to the trio run that opened them and are used from its
tasks. Programs without trio, and with any number of threads, use `client_lib.blocking`.

**Tests** of a program that embeds this one use `client_lib.testing`: the same client with a store
and a swarm in memory.

Names are loaded at first use (PEP 562): libtorrent comes with `open_client`, not with an import.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from client_lib.download import *  # noqa: F403 - the one list of names is there
    from client_lib.errors import AlbumswarmError as AlbumswarmError
    from client_lib.wire.licence import LicenceId as LicenceId
    from client_lib.wire.licensing_api import LicenceRecord as LicenceRecord
    from client_lib.wire.licensing_api import LicenceState as LicenceState
    from client_lib.wire.release import TorrentName as TorrentName
else:
    _BESIDE_DOWNLOAD = {
        "AlbumswarmError": "client_lib.errors",
        "LicenceId": "client_lib.wire.licence",
        "LicenceRecord": "client_lib.wire.licensing_api",
        "LicenceState": "client_lib.wire.licensing_api",
        "TorrentName": "client_lib.wire.release",
    }

    def __getattr__(name):  # noqa: ANN001, ANN202 - hidden from type checkers, which read the above
        """Load a public name."""
        import importlib

        if name in _BESIDE_DOWNLOAD:
            return getattr(importlib.import_module(_BESIDE_DOWNLOAD[name]), name)
        # Anything that looks like a submodule is left to the import system.
        if name == "__all__" or name[:1].isupper() or name == "open_client":
            download = importlib.import_module("client_lib.download")
            if name == "__all__":
                return sorted([*download.__all__, *_BESIDE_DOWNLOAD])
            if name in download.__all__:
                return getattr(download, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():  # noqa: ANN202
        """Names for completion."""
        return [*globals(), *__getattr__("__all__")]
