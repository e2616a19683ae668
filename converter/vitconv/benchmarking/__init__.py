"""Times of files on this machine, their documents read back, and two of these side by side. Imports runtimes."""
