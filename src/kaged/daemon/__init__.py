"""The daemon: composition root, start-up gates, life cycle, signals. Binds every room's ports in one place and owns the
only long-lived task group. Promises that starting is a list of named gates, each with one fix, and that stopping is the
reverse. Holds no rule of any other room."""
