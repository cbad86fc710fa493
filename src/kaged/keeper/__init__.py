"""The keeper: the second process, which holds whatever runs: the one spawn door, cages, commands and PTYs with the
rings of their output, the limits the kernel does not hold. Promises to outlive the daemon for a grace time, to lose
no byte of output when it dies, and to leave no process behind. Standard library only; knows no secret but a cage's,
believes nothing that comes out of one, and starts nothing in a thread (a cage dies with the thread that started it)."""
