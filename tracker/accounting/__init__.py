"""What the tracker remembers of its announces, beyond the swarms themselves.

`async with open_accounting(data / "accounting.sqlite3") as ledger:` gives the `Accounting` of an
announcer; `nursery.start_soon(ledger.flush_regularly, every_s)` writes it to disk.
"""
