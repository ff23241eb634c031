"""A store, its licensing service and its swarm, in memory."""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from client_lib.download.settings import ClientSettings
from client_lib.testing.books import Books

if TYPE_CHECKING:
    from client_lib.testing.client import FakeClient


class FakeStore(Books):
    """Sells what was published, to any number of devices.

    `rate_bytes_s` is what each album under way receives, and may be changed at any time; 0 for
    nothing. `away`: licensing does not answer.
    """

    @contextlib.asynccontextmanager
    async def open_client(self, settings: ClientSettings) -> AsyncIterator["FakeClient"]:
        """`client_lib.open_client` of this store. A device is its `data_folder`."""
        # It brings libtorrent, and a test module is imported whether its tests run or not.
        from client_lib.testing.client import FakeClient

        yield FakeClient(settings, self, self.device(settings.data_folder))
