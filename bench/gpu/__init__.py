"""What a GPU brings: the search on it, and 2:4 layers. ``python -m bench.gpu --help``."""
