"""The commands: a thin function each, what they print, and the shell's completion. Imports every other room."""
