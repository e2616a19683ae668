"""The networks, their layers and recipes, and the forms a layer can take in a graph. Imports data."""
