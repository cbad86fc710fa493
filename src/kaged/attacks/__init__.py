"""Owns the escape attempts of the cage: a table, the ways behind it, and what runs them inside.

This folder is copied into a trial project and run by the cage's own Python (3.9 or newer, `-I -S`), so it
imports the standard library and itself only. The table is also what reports and the guide are written from.
"""
