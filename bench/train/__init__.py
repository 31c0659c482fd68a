"""Small networks trained from data in a folder that the user names: weights that are not random.

Only :mod:`bench.train.catalogue` and :mod:`bench.train.cache` work without torch; they suffice to use networks that
are trained already.
"""
