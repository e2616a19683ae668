"""What a recipe says about the network and its optimizer, applied to a fresh network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitconv.models.catalogue import Recipe
from vitconv.training import precision

if TYPE_CHECKING:
    import keras


def prepare(model: keras.Model, recipe: Recipe, seed: int) -> None:
    """Sets what differs from the network's own while it is trained; its weights and its graph stay the same."""
    import keras

    from vitconv.models.layers.dropout import Dropout
    from vitconv.models.layers.patches import PatchEmbedding
    from vitconv.models.layers.transformer_exit import BranchAdd, ExitConv, ShortcutConcat

    blocks = 0
    for layer in model._flatten_layers():
        if isinstance(layer, Dropout) and recipe.dropout is not None:
            layer.set_rate(recipe.dropout)
        elif isinstance(layer, keras.layers.BatchNormalization) and recipe.batch_norm_momentum is not None:
            layer.momentum = recipe.batch_norm_momentum
        elif isinstance(layer, PatchEmbedding):
            layer.kept = recipe.kept_tokens
            layer.seed_generator.state.assign([seed, 0])
        elif isinstance(layer, ExitConv):
            layer.dead_penalty = recipe.dead_penalty
        elif isinstance(layer, BranchAdd):
            layer.idle_penalty = recipe.idle_penalty
        elif isinstance(layer, ShortcutConcat):
            layer.drop = recipe.shortcut_drop
            blocks += 1
            layer.seed_generator.state.assign([seed, blocks])  # each block drops other images' shortcuts
        if hasattr(layer, "fake_quantization"):
            layer.fake_quantization = recipe.fake_quantization
    if recipe.precision == "bfloat16":
        precision.compute_in_bfloat16(model)


def widen_branches(model: keras.Model, gain: float) -> None:
    """Multiplies the kernels that lead out of each attention and each MLP of a fresh network's transformers."""
    import keras

    from vitconv.models.layers.transformer_layer import Attention

    for layer in model.layers:
        if isinstance(layer, Attention):
            layer.last_kernel.assign(layer.last_kernel * gain)
        elif isinstance(layer, keras.layers.Dense) and layer.name.endswith((".mlp2", ".mlp.fc2")):
            layer.kernel.assign(layer.kernel * gain)


def compile_model(model: keras.Model, recipe: Recipe, steps_an_epoch: int) -> None:
    """Gives the model the recipe's loss and optimizer, whose variables are made at once."""
    import keras

    from vitconv.training.steps.fused_adam import FusedAdam

    decay = recipe.weight_decay if recipe.optimizer == "adamw" else None
    optimizer = FusedAdam(
        _learning_rate(recipe, steps_an_epoch),
        weight_decay=decay,
        global_clipnorm=recipe.gradient_clip or None,
    )
    top5 = keras.metrics.TopKCategoricalAccuracy(5, name="top5")
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy"), top5],
        jit_compile=False,  # XLA on a CPU trains these networks at a quarter to half the speed
    )
    optimizer.build(model.trainable_variables)


def _learning_rate(recipe: Recipe, steps_an_epoch: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    import keras

    if recipe.schedule == "constant" and not recipe.warmup_epochs:
        return recipe.learning_rate
    warmup = round(recipe.warmup_epochs * steps_an_epoch)
    rest = max(1, recipe.epochs * steps_an_epoch - warmup)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else recipe.learning_rate,
        decay_steps=rest,
        alpha=0.0 if recipe.schedule == "cosine" else 1.0,
        warmup_target=recipe.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
