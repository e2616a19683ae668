"""The TensorFlow Lite that Android apps ship, run on this desktop: Android's own library, not a build like it.

`runner.AndroidRunner` runs a model; `python -m vitconv.runtimes.android` prints where its
libraries are, for others.
"""
