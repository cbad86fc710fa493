"""Cage: owns plans (pure values), bubblewrap's options, the system call filter, the probe, and the keeper's client. A
policy it cannot carry out exactly is refused; what is protected cannot be changed, renamed or created inside."""
