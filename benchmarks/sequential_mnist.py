"""The criterion of A. Madsen and A. R. Johansen for sums of MNIST digits.

    python benchmarks/sequential_mnist.py                      reference and carousels
    python benchmarks/sequential_mnist.py --cells carousel nau lstm gru --seeds 100 101

"Neural arithmetic units", ICLR 2020, https://arxiv.org/abs/2001.05016, section 4.3:
plain sums of digits, learned at 10 digits, tested up to 1,000. Misread digits make
errors that grow with the length, so that a reference says what may be left: the same
encoder, whose numbers are summed exactly, trained with the same seeds. A network
succeeds at a length if its mean squared error over all totals up to there is below the
upper end of the one-sided 99 % confidence interval of the reference's mean; their NAU
did with 7 to 8 of 10 seeds at 1,000, their LSTM with none.

Every network has the main job's encoder, warps, and one-cycle rate; all but the
carousels, which have symbols as in the main job, learn by squared error. Two minutes a
network on two cores.
"""

import argparse
import itertools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
import tensorflow as tf
from keras import ops
from scipy import stats
from tqdm import tqdm

from custom_lstm import data
from custom_lstm.layers import TimeDistributed
from custom_lstm.tasks.digits.model import Head, build_encoder, build_model
from custom_lstm.tasks.digits.options import CAROUSELS, SYMBOLS, Config
from custom_lstm.tasks.digits.task import augment_of
from custom_lstm.training.schedules import one_cycle

LENGTH, BATCH = 10, 16
LENGTHS = (1, 10, 100, *range(200, 1001, 100))
TESTED, AT_ONCE = 50, 5
CONFIDENCE = 0.99
REFERENCE = "reference"


def network(kind: str, length: int | None) -> tuple[keras.Model, keras.losses.Loss]:
    """Return a network for sums of so many digits, or of any number, and its loss."""
    units, features = CAROUSELS["units"], CAROUSELS["features"]
    if kind == REFERENCE:
        images = keras.Input((length, 28, 28, 1), dtype="uint8")
        encode = TimeDistributed(build_encoder(features=features))
        numbers = keras.layers.Dense(1)(encode(images))
        sums = keras.layers.Lambda(lambda x: ops.cumsum(x, axis=1))(numbers)
        return keras.Model(images, sums), keras.losses.MeanSquaredError()
    symbols = SYMBOLS if kind == "carousel" else 0
    head = Head("value", 0, 90, symbols=symbols)
    model = build_model(
        head, length=length, recurrent=kind, units=units, features=features
    )
    return model, head.loss()


def trained(kind: str, epochs: int, seed: int, pools: data.Pools) -> keras.Model:
    """Return the finished network, for any number of digits."""
    keras.utils.set_random_seed(seed)
    model, loss = network(kind, LENGTH)
    steps = data.steps_per_epoch(len(pools.train), LENGTH, BATCH)
    rate = one_cycle(CAROUSELS["learning_rate"], epochs * steps, 0.25)
    optimizer = keras.optimizers.Adam(rate, beta_2=0.99, global_clipnorm=1.0)
    model.compile(optimizer, loss)
    batches = data.training_sequences(
        pools.train,
        length=LENGTH,
        batch_size=BATCH,
        epochs=epochs,
        seed=seed,
        augment=augment_of(Config()),
    )
    model.fit(batches.map(_summed), epochs=epochs, steps_per_epoch=steps, verbose=0)
    finished, _ = network(kind, None)
    finished.set_weights(model.get_weights())
    return finished


def _summed(images, totals):
    """Turn totals with alternating signs into plain sums."""
    steps = totals - tf.pad(totals[:, :-1], [[0, 0], [1, 0], [0, 0]])
    return images, tf.cumsum(tf.abs(steps), axis=1)


def errors(model: keras.Model, test: data.Digits) -> list[float]:
    """Return the mean squared error over all sums up to each length."""
    rng, squares = np.random.default_rng(0), []
    for _ in range(TESTED // AT_ONCE):
        chosen = rng.integers(len(test), size=(AT_ONCE, LENGTHS[-1]))
        sums = np.cumsum(test.labels[chosen].astype(float), axis=1)
        said = model.predict(test.images[chosen][..., None], verbose=0)[..., 0]
        squares.append(np.square(said - sums))
    square = np.concatenate(squares)
    return [float(square[:, :length].mean()) for length in LENGTHS]


def thresholds(reference: np.ndarray) -> np.ndarray:
    """Return what errors must be below, at each length.

    Args:
        reference: errors of the reference, `(seeds, lengths)`.
    """
    count = len(reference)
    reach = stats.t.ppf(CONFIDENCE, count - 1) / np.sqrt(count)
    return reference.mean(0) + reach * reference.std(0, ddof=1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", nargs="+", default=["carousel"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[*range(100, 110)])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--data", choices=("mnist", "digits"), default="mnist")
    options = parser.parse_args()
    pools = data.load_pools(options.data)
    kinds = [REFERENCE, *options.cells]
    found: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    print("mean squared errors up to", *LENGTHS)
    for seed, kind in tqdm([*itertools.product(options.seeds, kinds)], leave=False):
        model = trained(kind, options.epochs, seed, pools)
        found[kind].append(errors(model, pools.test))
        shown = " ".join(f"{error:.3g}" for error in found[kind][-1])
        print(f"{kind:10} {seed}  {shown}", flush=True)
    if len(options.seeds) < 2:
        return
    limits = thresholds(np.array(found[REFERENCE]))
    print("succeed below ", *(f"{limit:.3g}" for limit in limits))
    for kind, measured in found.items():
        wins = (np.array(measured) < limits).sum(0)
        print(f"{kind:10} succeeds with, of {len(options.seeds)} seeds:", *wins)


if __name__ == "__main__":
    main()
