"""The main job's network: encoder, recurrent core, one shared head.

images (batch, time, 28, 28, 1)
  → TimeDistributed(encoder)      convolutions, time folded into the batch axis
  → RNN(LSTMCell)                 any recurrent layer that returns sequences
  → Dense                         the same head at every step

Several such networks, members, may each learn from a share of every batch and answer
by a vote; see `custom_lstm.layers.ensemble`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from custom_lstm.cells.lstm import LSTMCell
from custom_lstm.heads import Head
from custom_lstm.layers.batch_normalization import BatchNormalization
from custom_lstm.layers.ensemble import EnsembleMean, EnsembleSplit
from custom_lstm.layers.lstm import LSTM
from custom_lstm.layers.time_distributed import TimeDistributed
from custom_lstm.layers.view_average import ViewAverage

RECURRENT = ("cell", "layer", "keras")
POOLINGS = ("flatten", "global")
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
VIEWS: dict[int, dict[str, float]] = {
    1: {},
    5: {"shift": 1},
    9: {"shift": 1, "rotate": 6, "zoom": 0.06},
}
"""Options of `ViewAverage` by how many views it then has."""


def build_encoder(
    filters: Sequence[int] = (16, 48, 64, 96),
    *,
    features: int = 128,
    pooling: str = "flatten",
    dropout: float = 0.0,
    precision: str = "float32",
    synchronized: bool = False,
    image_shape: tuple[int, int, int] = (28, 28, 1),
) -> keras.Sequential:
    """Build the convolutional encoder of one digit.

    A block is a convolution (5×5 in the first, then 3×3), 2×2 max pooling, batch
    normalisation (momentum 0.9) and ReLU. Pooling comes before what is computed
    element by element, which then costs a quarter.

    Args:
        filters: filters of each block; at least one, all positive.
        features: width of the dense layer at the end; 0 leaves it out.
        pooling: `"flatten"` keeps where a feature was seen, `"global"` averages
            over the image.
        dropout: share of the pooled features dropped in training, in [0, 1).
        precision: `"float32"`, or `"bfloat16"`: weights in float32, products and
            features in bfloat16, which some CPUs reckon twice as fast.
        synchronized: whether batch normalisation takes its moments over all the
            devices of a `tf.distribute` strategy.
        image_shape: `(height, width, channels)` of one image, in 0…255.

    Returns:
        A built `keras.Sequential`: `(batch, height, width, channels)` of any
        number type → `(batch, features)`.

    Raises:
        ValueError: an argument is out of range.

    Example:

    >>> build_encoder((8, 16), features=32).output_shape
    (None, 32)
    """
    filters = tuple(filters)
    if not filters or any(f < 1 for f in filters):
        raise ValueError(f"`filters` must be positive integers. Received: {filters}")
    if features < 0:
        raise ValueError(f"`features` must be 0 or more. Received: {features}")
    if pooling not in POOLINGS:
        raise ValueError(f"`pooling` must be one of {POOLINGS}. Received: {pooling!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be in [0, 1). Received: {dropout}")
    if precision not in PRECISIONS:
        raise ValueError(
            f"`precision` must be one of {tuple(PRECISIONS)}. Received: {precision!r}"
        )
    layers, policy = keras.layers, PRECISIONS[precision]

    def normalised():
        return [
            BatchNormalization(momentum=0.9, synchronized=synchronized, dtype=policy),
            layers.ReLU(dtype=policy),
        ]

    plain = {"use_bias": False, "dtype": policy}
    stack = [layers.Input(image_shape), layers.Rescaling(1 / 255, dtype=policy)]
    for block, width in enumerate(filters):
        size = 5 if block == 0 else 3
        stack += [
            layers.Conv2D(
                width, size, padding="valid" if block == 0 else "same", **plain
            ),
            layers.MaxPooling2D(2, padding="same", dtype=policy),
            *normalised(),
        ]
    flatten = pooling == "flatten"
    pool = layers.Flatten if flatten else layers.GlobalAveragePooling2D
    stack.append(pool(dtype=policy))
    if dropout:
        stack.append(layers.Dropout(dropout, dtype=policy))
    if features:
        stack += [layers.Dense(features, **plain), *normalised()]
    return keras.Sequential(stack, name="encoder")


def build_core(
    recurrent: str = "cell",
    units: int = 256,
    *,
    unroll: bool = False,
    name: str = "core",
) -> keras.layers.Layer:
    """Build the recurrent layer; every kind has the same weights and outputs.

    Args:
        recurrent: `"cell"` for `keras.layers.RNN(LSTMCell(units))`, the course's
            wrapping; `"layer"` for our `LSTM`; `"keras"` for `keras.layers.LSTM`.
        units: size of each of the two states.
        unroll: write the steps out instead of looping; needs a fixed length.
        name: the layer's.

    Returns:
        A layer `(batch, time, features)` → `(batch, time, units)`.

    Raises:
        ValueError: `recurrent` is unknown.

    Example:

    >>> build_core("keras", 8).compute_output_shape((2, 4, 3))
    (2, 4, 8)
    """
    options: dict[str, Any] = {
        "return_sequences": True,
        "unroll": unroll,
        "name": name,
    }
    if recurrent == "cell":
        return keras.layers.RNN(LSTMCell(units), **options)
    if recurrent == "layer":
        return LSTM(units, **options)
    if recurrent == "keras":
        return keras.layers.LSTM(units, **options)
    raise ValueError(f"`recurrent` must be one of {RECURRENT}. Received: {recurrent!r}")


def build_model(
    head: Head,
    *,
    length: int | None = None,
    recurrent: str = "cell",
    units: int = 256,
    members: int = 1,
    views: int = 1,
    image_shape: tuple[int, int, int] = (28, 28, 1),
    **encoder_options,
) -> keras.Model:
    """Build the network that says the running total of a sequence of digits.

    The weights do not depend on `length`, so those of a model trained at one
    length can be set into a model built for another, or for any (None).

    Args:
        head: kind and range of the answers.
        length: digits in a sequence, unrolled; None loops over any number.
        recurrent, units: see `build_core`.
        members: such networks, each of which learns from its share of every batch;
            outside training they answer together, by a vote.
        views: of each image, over which the encoder's features are averaged outside
            training: 1; 5, with those shifted by a pixel; or 9, with those turned by
            6° and zoomed by 6 % too. See `custom_lstm.layers.ViewAverage`.
        image_shape: `(height, width, channels)` of one image.
        **encoder_options: see `build_encoder`.

    Returns:
        An uncompiled functional model: `(batch, time, *image_shape)` uint8 →
        `(batch, time, head.units)` float32. Its layers are called "encode", "core"
        and, as the head's kind, "totals" or "value"; those of further members
        "encode_2", "core_2" and so on; then "share", "share_2", … come before and
        "vote" at the end.

    Raises:
        ValueError: an argument is out of range.

    Example:

    >>> model = build_model(Head("totals", -18, 18), length=4, units=16)
    >>> model.output_shape
    (None, 4, 37)
    """
    if views not in VIEWS:
        raise ValueError(f"`views` must be one of {tuple(VIEWS)}. Received: {views!r}")
    if members < 1:
        raise ValueError(f"`members` must be positive. Received: {members}")
    images = keras.Input((length, *image_shape), dtype="uint8", name="images")
    answers = []
    for member in range(members):
        nth = f"_{member + 1}" if member else ""
        share = EnsembleSplit(member, members, name=f"share{nth}")
        encoder = build_encoder(image_shape=image_shape, **encoder_options)
        reader = ViewAverage(encoder, **VIEWS[views]) if views > 1 else encoder
        encode = TimeDistributed(reader, name=f"encode{nth}")
        core = build_core(
            recurrent, units, unroll=length is not None, name=f"core{nth}"
        )
        features = encode(share(images) if members > 1 else images)
        answers.append(head.layer(name=f"{head.kind}{nth}")(core(features)))
    vote = EnsembleMean(logits=head.kind == "totals", name="vote")
    together = vote(answers) if members > 1 else answers[0]
    return keras.Model(images, together, name="digit_totals")


def summarise(model: keras.Model, print_fn: Callable[[str], object] = print) -> None:
    """Print what the model and, beneath, its encoder are made of.

    Args:
        model: made by `build_model`.
        print_fn: gets the text.

    Example:

    >>> text = []
    >>> summarise(build_model(Head("value", 0, 9), length=2, units=3), text.append)
    >>> "Conv2D" in "".join(text)
    True
    """
    model.summary(print_fn=print_fn)
    reader = model.get_layer("encode").layer
    encoder = reader.layer if isinstance(reader, ViewAverage) else reader
    encoder.summary(print_fn=print_fn)
