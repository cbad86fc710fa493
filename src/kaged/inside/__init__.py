"""What of ours goes into a cage: its process 1, and the child that makes the listeners of its network. `init` is one
file that the cage's own Python runs, alone; `netns` runs in a child of the keeper, which may not enter a namespace
itself. Both promise to believe nothing and to hold nothing that is not the cage's."""
