"""Sections on what is inside a file: graph, layers, ranges, what takes part. Imports evaluation, tflite."""
