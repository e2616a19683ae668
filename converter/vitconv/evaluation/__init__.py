"""Every file of an export folder against Keras, and the results that are kept. Imports exporting."""
