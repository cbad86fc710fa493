"""The keeper: the second process, which holds whatever runs.

Owns the one spawn door, the cages, their commands and PTYs with the rings of their output, and the
limits that the kernel does not hold for us. Promises to outlive the daemon for a grace time, to lose no
byte of output when the daemon dies, and to leave no process behind when it ends. Standard library only;
never knows a secret beyond what a cage was given, never believes what comes out of a cage, and never
starts anything in a thread (a cage dies with the thread that started it).
"""
