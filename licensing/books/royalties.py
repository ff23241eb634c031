"""What statements of royalties are made from: sales and refunds of a period, counted alike."""

import datetime as dt

import msgspec

from client_lib.wire.rights import WHOLE_BP, RightsHolder
from licensing.books.sql import Sql, to_ms
from licensing.ledger import SoldAlike

# A licence is one sale, by its primary key, so nothing can count twice. Grouped before the
# joins: a month has far fewer kinds of sale than sales.
_SOLD = (
    "WITH counted AS ("
    " SELECT name, amount_minor, currency, rights_version, 1 AS sold, 0 AS refunded"
    " FROM licences WHERE granted_at >= ? AND granted_at < ?"
    " UNION ALL SELECT l.name, l.amount_minor, l.currency, l.rights_version, 0,"
    " CASE WHEN f.cause = 'reinstate' THEN -1 ELSE 1 END"
    " FROM refunds f JOIN licences l ON l.purchase_id = f.purchase_id"
    " WHERE f.at >= ? AND f.at < ?"
    "), alike AS ("
    " SELECT name, amount_minor, currency, rights_version, SUM(sold) AS sold,"
    " SUM(refunded) AS refunded FROM counted"
    " GROUP BY name, amount_minor, currency, rights_version"
    ") SELECT a.name, a.amount_minor, a.currency, a.sold, a.refunded, t.holders, r.album"
    " FROM alike a JOIN releases r ON r.name = a.name"
    " LEFT JOIN rights t ON t.name = a.name AND t.version = a.rights_version"
    " ORDER BY a.name, a.currency, a.amount_minor, a.rights_version"
)


class _Artist(msgspec.Struct):
    artist: str


_ALBUM = msgspec.json.Decoder(_Artist)
_HOLDERS = msgspec.json.Decoder(tuple[RightsHolder, ...])


def sold_between(sql: Sql, start: dt.datetime, end: dt.datetime) -> tuple[SoldAlike, ...]:
    """See `Ledger.sold_between`."""
    period = (to_ms(start), to_ms(end))
    return tuple(
        SoldAlike(
            name=name,
            amount_minor=int(amount_minor),
            currency=currency,
            holders=holders_of(holders, album),
            sold=int(sold),
            refunded=int(refunded),
        )
        for name, amount_minor, currency, sold, refunded, holders, album in sql.rows(
            _SOLD, *period, *period
        )
    )


def holders_of(holders: str | None, album: str) -> tuple[RightsHolder, ...]:
    """Rights as the tables keep them (JSON); for None, the whole to the release's artist."""
    if holders is None:
        return (RightsHolder(_ALBUM.decode(album).artist, WHOLE_BP),)
    return _HOLDERS.decode(holders)
