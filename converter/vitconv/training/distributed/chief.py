"""What the chief alone reads and writes, on every worker: the state to go on from, and the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vitconv.checkpoints import checkpoint as checkpoints
from vitconv.checkpoints.checkpoint import Checkpoint
from vitconv.foundation.errors import InputError
from vitconv.training.distributed.distribution import Distribution
from vitconv.training.state import STATE, TrainingState, differences


def chief_s_state(
    distribution: Distribution, identity: Mapping[str, Any], state: TrainingState | None
) -> TrainingState | None:
    """What the chief goes on from, on every worker. Raises InputError on one that was to train something else."""
    if distribution.cluster is None:
        return state
    wanted = json.loads(distribution.from_chief(json.dumps(identity).encode()))
    if changes := differences(wanted, identity, "is", "here"):
        raise InputError(
            f"{distribution.cluster.name} was started with other settings than the chief, whose "
            f"{'; '.join(changes)}. Give all workers the same command and data."
        )
    data = distribution.from_chief(state.to_bytes() if state is not None else b"")
    if distribution.is_chief or not data:
        return state
    with TemporaryDirectory() as folder:
        copy = Path(folder) / STATE
        copy.write_bytes(data)
        return TrainingState.read(copy)


def chief_s_checkpoint(distribution: Distribution, out: Path) -> Checkpoint:
    """What the training left in the chief's folder, on every worker."""
    if distribution.cluster is None:
        return checkpoints.open_checkpoint(out)
    kept = checkpoints.open_checkpoint(out).card.to_json() if distribution.is_chief else None
    card = json.loads(distribution.from_chief(json.dumps(kept).encode()))
    return Checkpoint(out, checkpoints.card_from_json(card))
