"""The .tflite format: reading and writing, metadata, inspection, runtime versions, layer names. Imports data."""
