"""What runs a .tflite file: LiteRT here, Android's own library, each in a process of its own. Imports tflite."""
