"""Audit: the hash-chained log of every security-relevant act. Owns one file of JSON lines, each record carrying the
hash of the one before, and beside it a small file with the last head, so that an edit, a removal, a swap or a cut of
any line is found. Promises that a record is on disk when `record` returns, and that values under known secret names
never reach the file. Never rewrites or deletes a record; the only thing it ever moves aside is a line that a power loss
cut."""
