"""The schema ``strangler`` of each database: the ledger and the sides in it, whose it is, and who may act."""
