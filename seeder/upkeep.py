"""What a serving node does beside serving: it reads the catalogue, writes its status, renews."""

import datetime as dt
import random
from collections.abc import Callable
from pathlib import Path

import structlog
import trio
from cryptography import x509

from client_lib.errors import CertificateError, LicensingRefused, StorageError, UnreachableError
from client_lib.transport.credential import Credential, RequestCertificate, keep_renewed
from client_lib.transport.licensing_client import LicensingClient
from seeder.catalogue import Catalogue
from seeder.observer import Observer
from seeder.status import write_status, write_totals

_REPORT_S = 1.0
_RETRY_REFUSED_S = 60.0
_SOONEST_S = 0.5
log = structlog.get_logger()


async def follow(catalogue: Catalogue, licensing: LicensingClient, poll_s: float) -> None:
    """Pick up what is published, for as long as we serve; sooner if somebody asks for it."""
    trouble: str | None = None
    while True:
        try:
            with catalogue.round():
                new = await catalogue.refresh(licensing)
            if new or trouble:
                log.info("catalogue read", new=new, position=catalogue.position)
            trouble = None
        except (UnreachableError, LicensingRefused, StorageError) as error:
            if str(error) != trouble:
                log.warning("catalogue not read", error=str(error))
            trouble = str(error)
        await trio.sleep(min(poll_s, _SOONEST_S))
        with trio.move_on_after(max(0.0, poll_s - _SOONEST_S)):
            await catalogue.wanted.wait()


async def report(observer: Observer, data: Path) -> None:
    """Write the status every second, and the totals when a release was put away."""
    trouble: str | None = None
    shelf, written = observer.node.shelf, 0
    while True:
        try:
            if shelf.put_away != written:
                put_away, totals = shelf.put_away, dict(shelf.uploaded_bytes)
                await trio.to_thread.run_sync(write_totals, data, totals)
                written = put_away
            status = observer.status()
            await trio.to_thread.run_sync(write_status, data, status)
            trouble = None
        except StorageError as error:  # a full disk: customers must not notice
            if str(error) != trouble:
                log.warning("status not written", error=str(error))
            trouble = str(error)
        await trio.sleep(_REPORT_S)


async def renew(
    credential: Credential,
    ask: RequestCertificate,
    present: Callable[[Credential], None],
    *,
    ca: x509.Certificate,
    clock: Callable[[], dt.datetime],
    rng: random.Random,
) -> None:
    """Keep a certificate fresh. A refusal is reported and tried again: the operator may mend it,
    and until the certificate expires customers are served."""

    async def renewed(new: Credential) -> None:
        nonlocal credential
        credential = new
        present(new)
        log.info("certificate renewed", expires_at=new.certificate.not_valid_after_utc)
        await trio.lowlevel.checkpoint()

    def delayed(error: Exception) -> None:
        log.warning("certificate renewal delayed", error=str(error))

    while True:
        try:
            await keep_renewed(
                credential,
                ask,
                ca=ca,
                clock=clock,
                rng=rng,
                on_renewed=renewed,
                on_delayed=delayed,
            )
        except (LicensingRefused, CertificateError) as error:
            expires_at = credential.certificate.not_valid_after_utc
            log.error("certificate renewal refused", error=str(error), expires_at=expires_at)
        await trio.sleep(_RETRY_REFUSED_S)
