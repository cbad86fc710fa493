"""Settings: config.toml, local.toml, the nonces and every path. Owns what an operator may configure. Promises one
documented name, type and default a key, one message naming each wrong file, line and key, and that each value can be
traced to a flag, a variable, a line or a default. Starts nothing, and keeps no secret in a value that prints itself."""
