"""Owns the escape attempts of the cage: a table, the ways behind it, and what runs them inside. It is copied into a
trial project for the cage's own Python (3.9 or newer, `-I -S`): it imports the standard library and itself only."""
