"""Owns what of ours goes into a cage: its process 1 (`init`, run by the cage's own Python) and the child of the keeper
that makes the listeners of its network (`netns`). Both promise to hold nothing that is not the cage's."""
