"""Core: ids, clock, errors, actors, event types, tasks with an owner, and the keeper's wire types. Owns the small
vocabulary every room shares. Promises to import nothing but the standard library and msgspec, and nothing heavier than
the standard library in `keeper_wire`, which the keeper loads. Never does I/O."""
