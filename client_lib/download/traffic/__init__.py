"""What was taken and given: totals, the ledger, and for how long an album is given."""
