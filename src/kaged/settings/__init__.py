"""Settings: config.toml, local.toml, the nonces and every path the daemon uses. Owns what an operator may configure.
Promises that each key has one documented name, type and default, that a wrong file gives one message naming each file,
line and key, and that the effective value of a key can be traced to a flag, a variable, a line or a default. Never
starts anything, and keeps no secret in a value that prints itself."""
