"""A phone through adb: commands, files, packages, and the words for what went wrong. Imports foundation."""
