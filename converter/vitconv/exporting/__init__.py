"""A checkpoint → the export folder: checked files, manifest, golden images. Imports quantization, runtimes."""
