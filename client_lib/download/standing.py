"""A member's standing in a swarm: the certificate that is renewed, the trackers that may say no."""

import datetime as dt
import random
from collections.abc import Callable

import trio
from cryptography import x509

from client_lib.download.line.stall import tracker_host
from client_lib.errors import CertificateError, LicensingRefused, UnreachableError
from client_lib.membership import LicenceCertificateRequest, Membership, refusal
from client_lib.swarm.torrent import Torrent
from client_lib.transport.credential import Credential, keep_renewed, request_credential
from client_lib.transport.licensing_client import LicensingClient

_ASK_AGAIN_S = 60.0


class Standing:
    """Keeps one torrent's certificate good, and finds out from licensing why somebody refuses."""

    def __init__(
        self,
        member: Membership,
        torrent: Torrent,
        licensing: LicensingClient,
        *,
        ca: x509.Certificate,
        clock: Callable[[], dt.datetime],
        rng: random.Random,
        on_issued: Callable[[dt.datetime], None],
        on_renewed: Callable[[Credential], None],
        on_trouble: Callable[[str], None],
    ) -> None:
        """Take the member, its torrent, and whom to tell."""
        self._licence = member.licence
        self._credential = member.credential
        self._torrent = torrent
        self._request = LicenceCertificateRequest(member.licence, licensing, on_issued)
        self._ca = ca
        self._clock = clock
        self._rng = rng
        self._on_renewed = on_renewed
        self._on_trouble = on_trouble
        self._question = trio.Event()

    @property
    def expired(self) -> bool:
        """Tell whether the certificate has ended: no new connection is possible."""
        return self._credential.seconds_left(self._clock()) <= 0

    def ask(self) -> None:
        """Have `answer_questions` ask licensing whether the licence is still good, at once."""
        self._question.set()

    async def keep_renewed(self) -> None:
        """Renew at half-life, for ever. Raises LicenceRefused when licensing says no."""

        async def on_renewed(renewed: Credential) -> None:
            self._take(renewed)
            self._on_renewed(renewed)
            await trio.lowlevel.checkpoint()

        try:
            await keep_renewed(
                self._credential,
                self._request,
                ca=self._ca,
                clock=self._clock,
                rng=self._rng,
                on_renewed=on_renewed,
                on_delayed=lambda error: self._on_trouble(f"renewal is late: {error}"),
            )
        except LicensingRefused as error:
            raise refusal(self._licence, error) from error

    async def watch_trackers(self) -> None:
        """Report what trackers complain of; a refusal is taken to licensing, which knows why."""
        told: dict[str, str] = {}
        while True:
            for report in tuple(self._torrent.trackers.values()):
                if report.message and told.get(report.url) != report.message:
                    self._on_trouble(f"tracker {tracker_host(report.url)}: {report.message}")
                if report.message and report.refused:
                    self.ask()
                told[report.url] = report.message
            await self._torrent.wait_tracker()

    async def answer_questions(self) -> None:
        """Get a fresh certificate when asked: that mends it, or licensing says what is wrong.

        At most once a minute. Raises LicenceRefused.
        """
        while True:
            await self._question.wait()
            self._question = trio.Event()
            try:
                renewed = await request_credential(
                    self._credential.path,
                    self._request,
                    ca=self._ca,
                    now=self._clock(),
                    key=self._credential.key,
                    encryption=self._credential.encryption,
                )
            except LicensingRefused as error:
                raise refusal(self._licence, error) from error
            except (UnreachableError, CertificateError) as error:
                self._on_trouble(str(error))
            else:
                self._take(renewed)
            await trio.sleep(_ASK_AGAIN_S)

    def _take(self, renewed: Credential) -> None:
        self._credential = renewed
        self._torrent.renew(renewed.certificate_pem, renewed.key_pem)
