"""Moves and search states that several solvers share."""
