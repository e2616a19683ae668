"""Files on Android's library and on GPUs, against Keras and LiteRT on this machine. Imports exporting."""
