"""Single pieces from the store's web seeds, by HTTPS range requests, verified before use.

libtorrent fetches from web seeds too, but asks for up to 16 MiB at a time, and in its own order:
what a listener waits for would come behind all that.
"""

from urllib.parse import quote

import trio

from client_lib.download.piece_map import PieceMap
from client_lib.errors import DownloadError, UnreachableError
from client_lib.membership import Membership
from client_lib.transport.http import HttpClient
from client_lib.transport.tls import client_context

_SILENCE_S = 10.0
_PARTIAL, _WHOLE = 206, 200


class WebPieces:
    """One release's pieces over HTTPS, from the first of its web seeds that gives them."""

    def __init__(self, member: Membership, ca_pem: str) -> None:
        """Take who asks, for what, and the CA that web seeds are certified by."""
        self._member = member
        self._ca_pem = ca_pem
        self._map = PieceMap(member.metainfo)
        self._urls = list(member.metainfo.web_seeds)
        self._http: HttpClient | None = None

    @property
    def possible(self) -> bool:
        """Tell whether there is any web seed."""
        return bool(self._urls)

    async def fetch(self, piece: int) -> bytes:
        """Fetch one piece. Raises UnreachableError if no web seed gives it now."""
        for url in tuple(self._urls):
            try:
                data = await self._ask(url, piece)
                await trio.to_thread.run_sync(self._map.verify, piece, data)
            except (UnreachableError, DownloadError):
                # The next one first from now on; and with a certificate that is read again.
                self._urls.remove(url)
                self._urls.append(url)
                await self.aclose()
            else:
                return data
        raise UnreachableError(self._urls[0] if self._urls else "", "no web seed gives the piece")

    async def _ask(self, url: str, piece: int) -> bytes:
        if self._http is None:
            credential = self._member.credential
            passphrase = credential.encryption.passphrase if credential.encryption else None
            context = client_context(self._ca_pem, credential.path, passphrase)
            self._http = HttpClient(context, silence_s=_SILENCE_S)
        file, begin, end = self._map.find(piece)
        path = "/".join(quote(name, safe="") for name in (self._member.metainfo.name, *file.path))
        answer = await self._http.ask(
            url,
            "GET",
            f"/{path}",
            max_bytes=end - begin,
            headers={"Range": f"bytes={begin}-{end - 1}"},
        )
        if answer.status not in (_PARTIAL, _WHOLE):
            raise UnreachableError(url, f"HTTP {answer.status}")
        return answer.body

    async def aclose(self) -> None:
        """Close connections that nobody uses."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.aclose()
        await trio.lowlevel.checkpoint()
