"""Cage: owns plans (pure values), bubblewrap's options, the system call filter, the probe, and the keeper's client. A
policy it cannot carry out exactly is refused by name, what is protected cannot be changed, renamed or created inside,
and compiling changes nothing on disk. Nothing runs uncaged but by the keeper's door for host terminals."""
