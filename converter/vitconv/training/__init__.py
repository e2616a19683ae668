"""A recipe and a data set → a checkpoint. Imports checkpoints."""
