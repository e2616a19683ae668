"""Training on several GPUs or machines with tf.distribute. Imports foundation and its neighbours in training."""
