"""A float graph and calibration images → ranges, and the graph in integers. Imports conversion, checkpoints."""
