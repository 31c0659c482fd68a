"""Pricing of all groups and the linear programme over them: what several exact solvers share."""
