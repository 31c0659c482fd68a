"""Training data: readers for the files of the user's folder, and how batches are drawn from them."""
