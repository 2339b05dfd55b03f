"""The digits job, against the same network in Keras and PyTorch, and its pipeline.

The training step alone; what `--deterministic` costs, which TensorFlow switches for a
whole process and for good, so that each variant has a process of its own; and training
until 97 % exact match, all on the same batches, with the same optimizer, rates and
initial distributions.
"""

import itertools
import sys
import time
from collections.abc import Callable, Iterator

import torch  # before TensorFlow: the other order can crash

# isort: split
import keras
import numpy as np
import tensorflow as tf
from timing import (
    OURS,
    Trainer,
    interleaved,
    serve,
    stepping_processes,
    summary,
)
from tqdm import trange

from custom_lstm import convert, data
from custom_lstm.heads import Head
from custom_lstm.tasks.digits.evaluate import DIGITS_AT_ONCE
from custom_lstm.tasks.digits.metrics import score
from custom_lstm.tasks.digits.model import (
    build,
    build_compiled,
    build_optimizer,
    head_of,
)
from custom_lstm.tasks.digits.options import Config
from custom_lstm.tasks.digits.task import augment_of, steps_per_epoch
from custom_lstm.training.schedules import one_cycle

BATCH = 64
GOAL = 0.97
"""Exact match at which a network has learned."""
KERAS, PYTORCH = "Keras's own layers", "PyTorch, channels last"
DETERMINISTIC = "--deterministic"
STEPS = 20
"""Steps of a turn, with their data, where determinism is measured."""


def measure_step(length: int, runs: int) -> dict:
    """Time one training step of the default network, everything included."""
    config, batch = _config(length), _batch(length)
    candidates = {
        OURS: our_step(length),
        f"{OURS}, --recurrent layer": our_step(length, recurrent="layer"),
        KERAS: _keras_step(stock(config), head_of(config), *batch),
        PYTORCH: _torch_step(config, *batch),
        "convolutions and matrix products": floor(config),
    }
    return summary(interleaved(candidates, runs, seconds=90))


def our_step(length: int, **options) -> Callable[[], object]:
    """Return one training step of the package's network, with options of its own.

    Each member of an ensemble has a batch of the default's size.
    """
    config = _config(length).replace(**options)
    model = build_compiled(config, 100)
    batch = _batch(length, config.model.ensemble_size)
    return _keras_step(model, head_of(config), *batch)


def _config(length: int = 4, digits: str = "mnist") -> Config:
    """Return options of a softmax over totals, which Keras's and PyTorch's have too."""
    return Config().replace(recurrent="cell", length=length).resolve_defaults(digits)


def _batch(length: int, networks: int = 1):
    rng, rows = np.random.default_rng(0), BATCH * networks
    images = rng.integers(0, 256, (rows, length, 28, 28, 1)).astype("uint8")
    return images, rng.integers(-5, 6, (rows, length, 1)).astype("float32")


def measure_pipeline(length: int, digits: str, batches: int) -> dict:
    """Return the digits a second that the pipeline alone delivers, plain and warped."""
    pools = data.load_pools(digits)
    found = {}
    for name, augment in (("plain", None), ("warped", augment_of(Config()))):
        stream = iter(
            data.training_sequences(
                pools.train,
                length=length,
                batch_size=BATCH,
                epochs=200,
                seed=0,
                augment=augment,
            )
        )
        for _ in range(20):
            next(stream)
        started, used = time.perf_counter(), time.process_time()
        for _ in range(batches):
            next(stream)
        seconds = time.perf_counter() - started
        found[name] = {
            "digits_per_second": batches * BATCH * length / seconds,
            "ms_a_batch": 1e3 * seconds / batches,
            "cpu_ms_a_batch": 1e3 * (time.process_time() - used) / batches,
        }
    return found


def stock(config: Config) -> keras.Model:
    """Return the network of Keras's own layers, one TimeDistributed around each."""
    layers, model, head = keras.layers, config.model, head_of(config)
    images = keras.Input((config.data.length, 28, 28, 1), dtype="uint8")
    stack = [layers.Rescaling(1 / 255)]
    for block, width in enumerate(model.filters):
        size, padding = (5, "valid") if block == 0 else (3, "same")
        stack += [
            layers.Conv2D(width, size, padding=padding, use_bias=False),
            layers.MaxPooling2D(2, padding="same"),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
        ]
    stack += [layers.Flatten(), layers.Dense(model.features, use_bias=False)]
    stack += [layers.BatchNormalization(momentum=0.9), layers.ReLU()]
    x = images
    for layer in stack:
        x = layers.TimeDistributed(layer)(x)
    x = layers.LSTM(model.units, return_sequences=True)(x)
    network = keras.Model(images, head.layer()(x))
    network.compile("adam", head.loss())
    return network


def keras_trainer(
    model: keras.Model, head: Head, finished: keras.Model | None = None
) -> Trainer:
    """Return the compiled step, and the answers, of a compiled Keras model.

    Answers are those of the finished model with the same weights, if it is another.
    """

    @tf.function
    def step(images, totals):
        with tf.GradientTape() as tape:
            loss = model.loss(totals, model(images, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)
        return loss

    @tf.function
    def answer(images):
        return head.answers((finished or model)(images, training=False))

    def answer_now(images):
        if finished is not None:
            finished.set_weights(model.get_weights())
        return answer(images).numpy()

    return Trainer(step, answer_now)


def _keras_step(model: keras.Model, head: Head, images, totals) -> Callable[[], object]:
    step = keras_trainer(model, head).step
    images, totals = tf.constant(images), tf.constant(totals)
    return lambda: step(images, totals).numpy()


class TorchNetwork(torch.nn.Module):
    """The network in PyTorch."""

    def __init__(self, config: Config):
        super().__init__()
        nn, model, before = torch.nn, config.model, 1
        blocks = []
        for block, width in enumerate(model.filters):
            size, padding = (5, 0) if block == 0 else (3, 1)
            blocks += [
                nn.Conv2d(before, width, size, padding=padding, bias=False),
                nn.MaxPool2d(2, ceil_mode=True),
                nn.BatchNorm2d(width, eps=1e-3),
                nn.ReLU(),
            ]
            before = width
        blocks += [nn.Flatten(), nn.Linear(4 * before, model.features, bias=False)]
        blocks += [nn.BatchNorm1d(model.features, eps=1e-3), nn.ReLU()]
        self.encoder = nn.Sequential(*blocks).to(memory_format=torch.channels_last)
        self.core = nn.LSTM(model.features, model.units, batch_first=True)
        self.head = nn.Linear(model.units, head_of(config).units)

    def forward(self, images):
        batch, length = images.shape[:2]
        digits = images.reshape(batch * length, 1, 28, 28).float() / 255
        digits = digits.contiguous(memory_format=torch.channels_last)
        features = self.encoder(digits).reshape(batch, length, -1)
        return self.head(self.core(features)[0])


def torch_trainer(
    network: TorchNetwork, optimizer, head: Head, rates: Iterator[float]
) -> Trainer:
    """Return PyTorch's step and answers; batches are TensorFlow's or NumPy's.

    Args:
        network: in training mode between the calls.
        optimizer: of its weights.
        head: gives the total of each class.
        rates: the learning rate of each step.
    """

    def step(images, totals):
        for group in optimizer.param_groups:
            group["lr"] = next(rates)
        optimizer.zero_grad(set_to_none=True)
        classes = torch.tensor(np.asarray(totals) - head.lowest).long().reshape(-1)
        answers = network(torch.tensor(np.asarray(images)))
        loss = torch.nn.functional.cross_entropy(
            answers.reshape(len(classes), -1), classes
        )
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def answer(images):
        network.eval()
        with torch.no_grad():
            outputs = network(torch.tensor(np.asarray(images)))
        network.train()
        return outputs.argmax(-1).numpy() + float(head.lowest)

    return Trainer(step, answer)


def _torch_step(config: Config, images, totals) -> Callable[[], object]:
    network = TorchNetwork(config)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    rates = itertools.repeat(1e-3)
    step = torch_trainer(network, optimizer, head_of(config), rates).step
    return lambda: step(images, totals)


def floor(config: Config) -> Callable[[], object]:
    """Return the step's convolutions and matrix products alone, in both directions."""
    digits, model = BATCH * config.data.length, config.model
    sides, before, work = [28, 12, 6, 3], 1, []
    for block, (side, width) in enumerate(zip(sides, model.filters, strict=True)):
        size, padding = (5, "VALID") if block == 0 else (3, "SAME")
        x, W = (
            tf.ones((digits, side, side, before)),
            tf.ones((size, size, before, width)),
        )
        y = tf.nn.conv2d(x, W, 1, padding)
        work.append((x, W, y, padding, block > 0))
        before = width
    n, features = model.units, model.features
    flat = 2 * 2 * model.filters[-1]
    dense = [  # rows, from, to
        (digits, flat, features),
        (digits, features, 4 * n),
        (digits, n, 4 * n),
        (digits, n, head_of(config).units),
    ]
    matrices = [
        tuple(tf.ones(shape) for shape in ((r, a), (a, b), (r, b))) for r, a, b in dense
    ]

    @tf.function
    def run():
        done = [result for layer in work for result in _convolutions(*layer)]
        for x, W, y in matrices:
            done += [
                tf.matmul(x, W),
                tf.matmul(x, y, transpose_a=True),
                tf.matmul(y, W, transpose_b=True),
            ]
        return [tf.reduce_max(result) for result in done]

    return lambda: [float(value) for value in run()]


def _convolutions(x, W, y, padding: str, inner: bool) -> list:
    """Return a layer's convolutions: forward, weights' gradient, inputs' if inner."""
    raw = {"strides": [1, 1, 1, 1], "padding": padding, "out_backprop": y}
    done = [
        tf.nn.conv2d(x, W, 1, padding),
        tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=W.shape, **raw),
    ]
    if inner:
        done.append(
            tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=W, **raw)
        )
    return done


def measure_determinism(digits: str, runs: int) -> dict:
    """Time turns of `STEPS` steps of the default network, with and without the option.

    Args:
        digits: which ones; `mnist` or `digits`.
        runs: turns of each.
    """
    commands = {
        OURS: [__file__, digits],
        f"{OURS}, {DETERMINISTIC}": [__file__, digits, DETERMINISTIC],
    }
    with stepping_processes(commands) as turns:
        return summary(interleaved(turns, runs, seconds=120))


def _serve_turns(digits: str, deterministic: bool) -> None:
    """Train `STEPS` steps whenever the measuring process asks for it."""
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    config = Config().resolve_defaults(digits)
    model = build_compiled(config, 100)
    batches = data.training_sequences(
        data.load_pools(digits).train,
        length=config.data.length,
        batch_size=config.optimisation.batch_size,
        epochs=1000,
        seed=0,
        augment=augment_of(config),
    )
    stream = iter(batches)

    def turn() -> None:
        for _ in range(STEPS):
            model.train_on_batch(*next(stream))

    serve(turn)


def measure_learning(short: bool) -> dict:
    """Train each, an epoch in turn, until it reaches the goal on the validation digits.

    Ours is the default network, of carousels and symbols; Keras and PyTorch have a
    softmax over totals, and its recipe. What counts is training, with the compilation
    of the first step, but not the validation after every epoch.

    Returns:
        For each: epochs, seconds of training, the speedup of the package over it, exact
        match after every epoch. In the short form one epoch of the embedded digits.
    """
    digits = "digits" if short else "mnist"
    ours, config = Config().resolve_defaults(digits), _config(digits=digits)
    pools = data.load_pools(digits)
    steps = steps_per_epoch(config, pools)
    assert steps_per_epoch(ours, pools) == steps
    trainers = {
        OURS: keras_trainer(
            build_compiled(ours, steps),
            head_of(ours),
            build(ours.replace(views=1), any_length=True),
        ),
        KERAS: _keras_learner(config, steps),
        PYTORCH: _torch_learner(config, steps),
    }
    epochs = 1 if short else config.optimisation.epochs
    found: dict[str, dict] = {
        name: {"seconds": 0.0, "epochs": 0, "exact": []} for name in trainers
    }
    for epoch in trange(epochs, desc="epochs, each trained in turn", leave=False):
        for name, trainer in trainers.items():
            result = found[name]
            if result["exact"] and result["exact"][-1] >= GOAL:
                continue
            if name == OURS and epoch >= ours.settled("epochs"):
                continue
            batches = _batches(config, pools, epoch).take(steps)
            begun = time.perf_counter()
            for images, totals in batches:
                trainer.step(images, totals)
            result["seconds"] += time.perf_counter() - begun
            result["epochs"] += 1
            result["exact"].append(_exact(trainer.answer, config, pools))
    for result in found.values():
        result["speedup"] = result["seconds"] / found[OURS]["seconds"]
        result["reached"] = result["exact"][-1] >= GOAL
    return found


def _batches(config: Config, pools, epoch: int):
    return data.training_sequences(
        pools.train,
        length=config.data.length,
        batch_size=config.optimisation.batch_size,
        epochs=config.optimisation.epochs,
        seed=config.run.seed,
        augment=augment_of(config),
        first_epoch=epoch,
    )


def _exact(answer: Callable, config: Config, pools) -> float:
    batches = data.evaluation_sequences(
        pools.validation,
        length=config.data.length,
        batch_size=DIGITS_AT_ONCE // config.data.length,
    )
    parts = [(answer(images), *rest) for images, *rest in batches]
    answers, totals, mask = (np.concatenate(part) for part in zip(*parts, strict=True))
    return score(answers, totals[..., 0], mask)["exact"]


def _keras_learner(config: Config, steps: int) -> Trainer:
    keras.utils.set_random_seed(config.run.seed)
    model = stock(config)
    model.compile(build_optimizer(config, steps), head_of(config).loss())
    return keras_trainer(model, head_of(config))


def _torch_learner(config: Config, steps: int) -> Trainer:
    options = config.optimisation
    torch.manual_seed(config.run.seed)
    network = TorchNetwork(config)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.xavier_uniform_(layer.weight)
        if isinstance(layer, torch.nn.Linear) and layer.bias is not None:
            torch.nn.init.zeros_(layer.bias)
    like = keras.layers.LSTM(config.model.units)
    like.build((None, None, config.model.features))
    weights = convert.to_torch([like.get_weights()])
    network.core.load_state_dict({k: torch.tensor(v) for k, v in weights.items()})
    optimizer = torch.optim.AdamW(
        network.parameters(),
        betas=(0.9, 0.99),
        eps=1e-7,
        weight_decay=options.weight_decay,
        fused=True,
    )
    total = options.epochs * steps
    rate = one_cycle(options.learning_rate, total, options.warmup)
    rates = iter([float(rate(step)) for step in range(total)])
    return torch_trainer(network, optimizer, head_of(config), rates)


if __name__ == "__main__":
    _serve_turns(sys.argv[1], DETERMINISTIC in sys.argv[2:])
