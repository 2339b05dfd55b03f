"""The main job's training step, against stock Keras and PyTorch, and what feeds it."""

import itertools
import time
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
import torch
from timing import Trainer, interleaved, summary

from custom_lstm import data
from custom_lstm.heads import Head
from custom_lstm.tasks.digits.model import build_compiled, head_of
from custom_lstm.tasks.digits.options import Config
from custom_lstm.tasks.digits.task import augment_of

BATCH = 64


def measure_step(length: int, runs: int) -> dict:
    """Time one training step of the default network, everything included."""
    config, batch = _config(length), _batch(length)
    candidates = {
        "ours": our_step(length),
        "ours, --recurrent layer": our_step(length, recurrent="layer"),
        "Keras's own layers": _keras_step(stock(config), head_of(config), *batch),
        "PyTorch, channels last": _torch_step(config, *batch),
        "convolutions and matrix products": floor(config),
    }
    return summary(interleaved(candidates, runs, seconds=90), "ours")


def our_step(length: int, **options) -> Callable[[], object]:
    """Return one training step of our network, with other options than the default.

    Of an ensemble each network has a batch of the default's size.
    """
    config = _config(length).replace(**options)
    model = build_compiled(config, 100)
    batch = _batch(length, config.model.ensemble_size)
    return _keras_step(model, head_of(config), *batch)


def _config(length: int) -> Config:
    return Config().replace(length=length).resolve_defaults("mnist")


def _batch(length: int, networks: int = 1):
    rng, rows = np.random.default_rng(0), BATCH * networks
    images = rng.integers(0, 256, (rows, length, 28, 28, 1)).astype("uint8")
    return images, rng.integers(-5, 6, (rows, length, 1)).astype("float32")


def measure_pipeline(length: int, digits: str, batches: int) -> dict:
    """Digits a second that the pipeline alone delivers, plain and warped."""
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
    """The same network of Keras's own layers, one TimeDistributed around each."""
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


def keras_trainer(model: keras.Model, head: Head) -> Trainer:
    """Return the compiled step, and the answers, of a compiled Keras model."""

    @tf.function
    def step(images, totals):
        with tf.GradientTape() as tape:
            loss = model.loss(totals, model(images, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)
        return loss

    @tf.function
    def answer(images):
        return head.answers(model(images, training=False))

    return Trainer(step, lambda images: answer(images).numpy())


def _keras_step(model: keras.Model, head: Head, images, totals) -> Callable[[], object]:
    step = keras_trainer(model, head).step
    images, totals = tf.constant(images), tf.constant(totals)
    return lambda: step(images, totals).numpy()


class TorchNetwork(torch.nn.Module):
    """The same network in PyTorch's terms."""

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
        head: says which totals the classes stand for.
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
    """The step's convolutions and matrix products, forward and backward, alone."""
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
        done = []
        for x, W, y, padding, inner in work:
            done.append(tf.nn.conv2d(x, W, 1, padding))
            raw = {"strides": [1, 1, 1, 1], "padding": padding}
            done.append(
                tf.raw_ops.Conv2DBackpropFilter(
                    input=x, filter_sizes=W.shape, out_backprop=y, **raw
                )
            )
            if inner:
                done.append(
                    tf.raw_ops.Conv2DBackpropInput(
                        input_sizes=x.shape, filter=W, out_backprop=y, **raw
                    )
                )
        for x, W, y in matrices:
            done += [
                tf.matmul(x, W),
                tf.matmul(x, y, transpose_a=True),
                tf.matmul(y, W, transpose_b=True),
            ]
        return [tf.reduce_max(result) for result in done]

    return lambda: [float(value) for value in run()]
