"""Times of files on this machine, and two results side by side. Imports runtimes."""
