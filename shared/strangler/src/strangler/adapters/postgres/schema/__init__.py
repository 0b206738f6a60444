"""The schema ``strangler`` of each database: the ledger and the sides in it, who owns it, and who may act."""
