"""Cage: from a project's policy to a kernel cage, and the client of the keeper that holds it.

Owns the plan (a pure value that can be printed, hashed and sent), bubblewrap's options, the system call
filter, the words that explain a plan, the probe that proves it, and the connection to the keeper.
Promises that a policy it cannot carry out exactly is refused by name, never weakened; that what is
protected cannot be changed, renamed or created inside; and that compiling changes nothing on disk.
Never runs anything of an agent in the daemon's own process, and never starts an uncaged command except
through the keeper's one named door for host terminals.
"""
