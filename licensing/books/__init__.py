"""The ledger's rules in SQL: what every store does inside one transaction."""
