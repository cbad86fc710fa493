"""Audit: the hash-chained log of every security-relevant act: JSON lines, each with the hash of the one before, and
beside them a small file with the last head, so that an edit, a removal, a swap or a cut is found. Promises that a
record is on disk when `record` returns, and that secrets never reach the file. Never rewrites or deletes a record; only
a line that a power loss cut is moved aside."""
