"""The TensorFlow Lite that Android apps ship, run on this desktop: Android's own library, not a build like it.

`runner.AndroidRunner` runs a model; `python -m vitconv.android_runtime` prints the folder of libraries for others.
"""
