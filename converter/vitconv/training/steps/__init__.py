"""Of a training step: batches, augmentation, optimizer, averages of weights. Imports models, data."""
