"""Reading weights from files and writing what was found; needs no torch."""
