"""A Keras model → a float .tflite graph in the form that its scheme names. Imports models and tflite."""
