"""Terminals: shells with a screen, as users see them; any number of clients on each. Owns their list, the frames of
`kaged.tty.v1` and the flow control. Promises that a client that comes back continues at the byte it had reached, or is
told how much is gone; that a slow client never holds up another; that output goes on while nobody watches. Never runs
anything by itself: the keeper does, inside the session's cage or, where the operator allows it, on the host."""
