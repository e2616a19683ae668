"""What every room stands on: errors, files, the cache folder, cores and memory, intervals, text.

Imports nothing of vitconv.
"""
