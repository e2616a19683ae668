"""TensorFlow Datasets as data sets, straight from their record files. Imports data.pictures, foundation."""
