"""A user's folder of pictures as a data set, with classes and without. Imports data.pictures, foundation."""
