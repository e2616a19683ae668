"""The cheapest file within a limit that a user names.

limits.py     the limit, and the trace of a search as the manifest keeps it
pictures.py   which images files are asked
asking.py     what a file answers to them, and whether it keeps the limit
search.py     which files there are, and the cheapest that does
"""
