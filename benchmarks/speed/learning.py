"""Time to 97 % exact match at length 4: the same recipe, three implementations.

Ours, the same network of Keras's own layers, and PyTorch's, all on the same batches
from the same pipeline, with the same optimizer, rates and initial distributions. They
train in turn, an epoch each. What counts is training, with the compilation of the first
step, but not the validation after every epoch.
"""

import time
from collections.abc import Callable

import job
import keras
import numpy as np
import torch
from timing import Trainer
from tqdm import trange

from custom_lstm import convert, data
from custom_lstm.tasks.digits.evaluate import DIGITS_AT_ONCE
from custom_lstm.tasks.digits.metrics import score
from custom_lstm.tasks.digits.model import build_compiled, build_optimizer, head_of
from custom_lstm.tasks.digits.options import Config
from custom_lstm.tasks.digits.task import augment_of, steps_per_epoch
from custom_lstm.training.schedules import one_cycle

GOAL = 0.97


def measure_learning(short: bool) -> dict:
    """Train each until it reaches the goal on the validation digits.

    Returns:
        For each: epochs, seconds of training and their multiple of ours, exact match
        after every epoch. In the short form one epoch of the embedded digits.
    """
    digits = "digits" if short else "mnist"
    config, pools = Config().resolve_defaults(digits), data.load_pools(digits)
    steps = steps_per_epoch(config, pools)
    trainers = {
        "ours": _ours(config, steps),
        "Keras's own layers": _stock(config, steps),
        "PyTorch, channels last": _torch(config, steps),
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
            batches = _batches(config, pools, epoch).take(steps)
            begun = time.perf_counter()
            for images, totals in batches:
                trainer.step(images, totals)
            result["seconds"] += time.perf_counter() - begun
            result["epochs"] += 1
            result["exact"].append(_exact(trainer.answer, config, pools))
    for result in found.values():
        result["times_ours"] = result["seconds"] / found["ours"]["seconds"]
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


def _ours(config: Config, steps: int) -> Trainer:
    return job.keras_trainer(build_compiled(config, steps), head_of(config))


def _stock(config: Config, steps: int) -> Trainer:
    keras.utils.set_random_seed(config.run.seed)
    model = job.stock(config)
    model.compile(build_optimizer(config, steps), head_of(config).loss())
    return job.keras_trainer(model, head_of(config))


def _torch(config: Config, steps: int) -> Trainer:
    options = config.optimisation
    torch.manual_seed(config.run.seed)
    network = job.TorchNetwork(config)
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
    return job.torch_trainer(network, optimizer, head_of(config), rates)
