"""The daemon: composition root, start-up gates, life cycle, signals, systemd notification.

Binds every room's ports to real implementations, in one place, and owns the only long-lived task group.
Promises that starting is a list of named gates, each with one fix, and that stopping is the reverse of
starting. Holds no rule of any other room.
"""
