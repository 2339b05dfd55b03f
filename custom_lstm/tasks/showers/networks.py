"""The networks of the task: a RecurrentBlock over 40 slices, or a plain CNN.

images (batch, x, y, 40)                       counts
  → RecurrentBlock                             per slice: convolutions, and its sum
  or Conv2D, slices as channels                the original's CNN, and the slices' sums
  → Dense                                      shared by five heads
  → energy (GeV), x, y, z (cm), kind           (batch, 1) each; kind is P(hadronic)
"""

import keras
from keras import layers, ops

from custom_lstm.cells import GRUCell, LSTMCell, SimpleRNNCell
from custom_lstm.errors import UsageError
from custom_lstm.layers import RecurrentBlock
from custom_lstm.tasks.cell_names import cell_class
from custom_lstm.tasks.showers import simulation
from custom_lstm.tasks.showers.data import IMAGE_SHAPE
from custom_lstm.tasks.showers.options import Model, Options
from custom_lstm.training.schedules import one_cycle

RESOLUTIONS = {"energy": 0.05, "x": 1.5, "y": 1.5, "z": 1.5}
"""Errors that weigh equally in the loss: of ln E, and in cm."""

_OWN_NAMES = {LSTMCell: "lstm", GRUCell: "gru", SimpleRNNCell: "simple"}
_SOFT = 0.5  # GeV; cells far below count linearly, those far above by their logarithm
_WIDTH = 64  # of the layer that all heads share


def build_encoder(features: int = 32) -> keras.Model:
    """Build the network that sums up one slice.

    Args:
        features: width of what the convolutions make of it.

    Returns:
        A model `(batch, x, y, 1)`, counts → `(batch, features + 1)`; the last feature
        is ln(1 + slice's energy / 0.5 GeV).

    Example:
        >>> build_encoder(8).output_shape
        (None, 9)
    """
    counts = keras.Input((*IMAGE_SHAPE[:2], 1), name="slice")
    energy = layers.Rescaling(simulation.ENERGY_PER_COUNT / _SOFT)(counts)
    x = layers.Conv2D(8, 4, strides=2, activation="relu")(ops.log1p(energy))
    x = layers.Conv2D(16, 3, activation="relu")(x)
    x = layers.Dense(features, activation="relu")(layers.Flatten()(x))
    total = ops.log1p(ops.sum(energy, axis=(1, 2)))
    return keras.Model(counts, ops.concatenate([x, total], axis=-1), name="encoder")


def build_block(name: str, options: Model) -> RecurrentBlock:
    """Build the recurrent block with cells of this name; see `custom_lstm.cells.get`.

    Raises:
        UsageError: there is no such cell, or it needs more than its width.

    Example:
        >>> build_block("peephole", Model()).compute_output_shape((None, 16, 16, 40))
        (None, 320)
    """
    cell = cell_class("--models", name, others=["cnn"])
    try:
        return RecurrentBlock(
            build_encoder(options.features),
            list(options.hidden_sizes),
            list(options.output_sizes),
            cell=_OWN_NAMES.get(cell, cell),
            output_activation="relu",
            output=options.output,
            weight_decay=options.l2,
            dropout=options.dropout,
            layer_norm=options.layer_norm,
            name=name,
        )
    except (TypeError, ValueError) as error:
        raise UsageError(f"--models {name} cannot be built: {error}") from error


def build_network(name: str, options: Model) -> keras.Model:
    """Build one network, with fresh weights.

    Args:
        name: `"cnn"`, or what the recurrent block's cells are called.
        options: of the block.

    Returns:
        A functional model: counts `(batch, x, y, layers)` → a dict with `energy` in
        GeV, `x`, `y`, `z` in cm and `kind`, the probability of a hadronic shower,
        `(batch, 1)` each.

    Example:
        >>> build_network("cnn", Model()).output_names
        ['energy', 'kind', 'x', 'y', 'z']
    """
    images = keras.Input(IMAGE_SHAPE, name="images")
    found = _plain(images) if name == "cnn" else build_block(name, options)(images)
    found = layers.Dense(_WIDTH, activation="relu", name="shared")(found)

    def head(name, scale, activation=None):
        raw = layers.Dense(1, activation=activation)(found)
        return layers.Rescaling(scale, name=name)(raw)

    outputs = {
        "energy": head("energy", simulation.ENERGIES[1] / 4, "exponential"),
        "x": head("x", simulation.IMPACT),
        "y": head("y", simulation.IMPACT),
        "z": head("z", simulation.INTERACTION_LENGTH),
        "kind": layers.Dense(1, activation="sigmoid", name="kind")(found),
    }
    return keras.Model(images, outputs, name=name)


def _plain(images: keras.KerasTensor) -> keras.KerasTensor:
    """Convolutions over x and y, with the slices as channels."""
    energy = layers.Rescaling(simulation.ENERGY_PER_COUNT / _SOFT)(images)
    x = layers.Conv2D(32, 3, activation="relu")(ops.log1p(energy))
    x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(layers.Conv2D(64, 3, activation="relu")(x))
    totals = ops.log1p(ops.sum(energy, axis=(1, 2)))
    return ops.concatenate([x, totals], axis=-1)


def build_compiled(name: str, options: Options, steps_per_epoch: int) -> keras.Model:
    """Build a network to train, its weights drawn from the seed.

    The loss is Σ ((a − a*) / resolution)² over energy, x, y and z, with ln(1 + E) for
    the energy, so that what counts is its relative error, plus the cross-entropy of
    the kind.
    """
    keras.utils.set_random_seed(options.run.seed)
    model, how = build_network(name, options.model), options.optimisation
    rate = one_cycle(how.learning_rate, how.epochs * steps_per_epoch, how.warmup)
    model.compile(
        optimizer=keras.optimizers.Adam(
            rate,
            beta_2=0.99,
            weight_decay=how.weight_decay or None,
            global_clipnorm=how.clip_norm or None,
        ),
        loss={
            "energy": keras.losses.MeanSquaredLogarithmicError(),
            **{axis: keras.losses.MeanSquaredError() for axis in "xyz"},
            "kind": keras.losses.BinaryCrossentropy(),
        },
        loss_weights={
            "kind": 1.0,
            **{name: 1 / error**2 for name, error in RESOLUTIONS.items()},
        },
        metrics={
            "energy": keras.metrics.MeanAbsolutePercentageError(name="percent"),
            "kind": keras.metrics.BinaryAccuracy(name="right"),
        },
    )
    return model
