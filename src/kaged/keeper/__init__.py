"""The keeper: the second process, which owns whatever runs: the one spawn door, cages, commands and PTYs with their
output. Promises to outlive the daemon for a grace time, to lose no byte of output, and to leave no process behind.
Standard library only; believes nothing that comes out of a cage, and starts none in a thread (it would die with it)."""
