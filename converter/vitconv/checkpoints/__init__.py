"""A trained model on disk, the ones that come with vitconv, and the data set of one. Imports models."""
