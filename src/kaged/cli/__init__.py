"""The command line: `kaged …`. Owns the words a person types and the text they read. Promises to talk to the daemon
only through its HTTP API on the control socket, that `--help` imports nothing heavy, that `--json` prints data and
nothing else, and the exit codes 0 ok, 1 failed, 2 usage, 69 a start-up gate refused, 78 bad configuration. Never
touches the database, a cage or a project's files."""
