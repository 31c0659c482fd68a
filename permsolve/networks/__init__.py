"""Whole torch networks: axes that may be permuted, and pruning to N:M."""
