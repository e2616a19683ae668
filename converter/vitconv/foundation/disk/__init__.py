"""Files, folders and the cache: written whole or not at all, by one process at a time. Imports foundation."""
