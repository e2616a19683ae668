"""What each section of a page shows: plain values, ready for the template of the same name.

Texts are as they come out of files: the templates escape them. Only charts are HTML already, and marked as such.
A function gives None where its section has nothing to show; `missing` says then what to do.
"""
