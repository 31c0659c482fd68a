"""The best value known of each instance that anyone can make, with the permutation that reaches it."""

from bench.best_known.entry import Entry, WrongEntryError, check_entry, prove_entry
from bench.best_known.store import DEFAULT_PATH, improved, load, save

__all__ = ["DEFAULT_PATH", "Entry", "WrongEntryError", "check_entry", "improved", "load", "prove_entry", "save"]
