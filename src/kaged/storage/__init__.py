"""Storage: the one SQLite database of a home, its migrations, its writer thread and its readers. Owns opening and
checking the file, the schema, group commit and the sentences for what can go wrong with a disk. Promises that an
awaited write is durable (WAL, synchronous=FULL) and that writes happen in the order they were submitted. Never knows
what a row means: each room brings its own SQL for its own tables."""
