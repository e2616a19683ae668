"""Random states of layers where a network is trained as several replicas at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    import keras


def next_seed(generator: keras.random.SeedGenerator) -> Any:
    """int32 [2], another one at each call, and another one for each replica: all of them hold the same state."""
    seed = generator.next()
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return seed
    return seed + tf.stack([tf.cast(replica.replica_id_in_sync_group, seed.dtype), tf.zeros([], seed.dtype)])
