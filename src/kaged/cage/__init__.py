"""cage."""
