"""A whole run: data, model, training, scores, pictures."""

import functools
from pathlib import Path

import numpy as np

from custom_lstm import data as datasets
from custom_lstm.data import read_digit_images
from custom_lstm.errors import UsageError, UserError
from custom_lstm.loading import load_model
from custom_lstm.models import summarise
from custom_lstm.training import devices, pictures, scores
from custom_lstm.training.build import build_compiled, head_of
from custom_lstm.training.checkpoints import (
    TrainingState,
    restore,
)
from custom_lstm.training.command_line import from_json
from custom_lstm.training.config import EPOCHS, Config
from custom_lstm.training.fitting import steps_per_epoch, train
from custom_lstm.training.kept_models import keep_model
from custom_lstm.training.runs import RunFolder, resume_command, write_json
from custom_lstm.training.scoring import answer, for_any_length, score_lengths
from custom_lstm.training.team import Team

TASK = "digits"
"""This job's name in a run folder."""


def start(config: Config) -> int:
    """Train from the beginning, score and draw.

    Returns:
        The exit code: 0, or 130 if Ctrl-C cut the training short.

    Raises:
        Terminated: SIGTERM ended the training.
        UserError: the digits cannot be had, the run folder not written, or the other
            processes not met.
        UsageError: a sequence or batch is larger than the pool of digits; the devices
            asked for are not here or cannot share a batch.
    """
    team = devices.assemble(config)
    config, pools = _with_pools(config)
    _check_sizes(config, pools, team)
    steps = steps_per_epoch(config, pools)
    folder = team.create(config.run.runs, _name(config, pools))
    folder.write_config(TASK, config.to_json(), data_used=pools.name)
    state = TrainingState()
    with folder.claimed():
        with team.scope():
            team.check_alike(config, pools.name, folder)
            model = build_compiled(config, steps)
            summarise(model)
            interrupted = train(config, team, folder, pools, model, state)
        return _finish(config, team, folder, pools, model, state, interrupted)


def go_on(asked: Config) -> int:
    """Go on with run `asked.run.resume`: train what is left, score and draw.

    With `asked.run.images` the finished model reads those instead.

    Returns:
        The exit code, as `start`.

    Raises:
        UserError: the folder is missing, damaged or not a run's; an image file
            cannot be read.
    """
    assert asked.run.resume is not None
    folder = RunFolder.open(asked.run.resume)
    config = folder.read_options(TASK, from_json)
    if asked.run.images:
        return _read_images(config, folder, asked.run.images)
    used = folder.read_config(TASK).get("data_used")
    if used not in list(EPOCHS):
        raise UserError(f"{folder.config} does not say which digits the run used")
    config = config.replace(
        data=used,
        lengths=asked.run.lengths or config.run.lengths,
        **vars(asked.parallel),
    )
    team = devices.assemble(config)
    config, pools = _with_pools(config)
    _check_sizes(config, pools, team)
    folder = team.take(folder)
    with folder.claimed():
        with team.scope():
            team.check_alike(config, pools.name, folder)
            model = build_compiled(config, steps_per_epoch(config, pools))
            state = restore(folder, model)
            interrupted = train(config, team, folder, pools, model, state)
        return _finish(config, team, folder, pools, model, state, interrupted)


def _finish(config, team, folder, pools, model, state, interrupted) -> int:
    if team.scratch is not None:
        print("\nDone; process 0 keeps the run and scores it.")
        return 130 if interrupted else 0
    model = keep_model(folder, model, functools.partial(for_any_length, config))
    results = score_lengths(config, model, pools)
    write_json(folder.scores, results)
    pictures.draw(config, folder, pools, model, state)
    for result in results.values():
        print("\n" + scores.table(result))
    if interrupted:
        print(f"\nStopped early; go on with\n  {resume_command(folder)}")
        return 130
    print(
        f"\nThe run, with its pictures, is in {folder.path}. Try next:\n"
        f"  {resume_command(folder)} --lengths "
        f"{config.data.length} {2 * config.data.length} {5 * config.data.length}"
    )
    return 0


def _read_images(config: Config, folder: RunFolder, paths: tuple[Path, ...]) -> int:
    digits = read_digit_images(paths)
    model = for_any_length(config, load_model(folder.model))
    head = head_of(config)
    answers = answer(model, head, digits[None, ..., None])[0]
    signs = np.asarray(datasets.alternating_signs(len(paths), config.data.start))
    for path, sign, total in zip(paths, signs, answers, strict=True):
        print(f"{'+' if sign > 0 else '-'} {path}  total {total:.4g}")
    if len(paths) > config.data.length:
        print(
            f"More digits than the {config.data.length} this run was trained on: "
            "do not trust the totals past those."
        )
    return 0


def _with_pools(config: Config) -> tuple[Config, datasets.Pools]:
    """Load the digits, and settle what depends on which they are."""
    pools = datasets.load_pools(config.data.data, data_dir=config.data.data_dir)
    print(pools.notice, flush=True)
    return config.settled(pools.name), pools


def _check_sizes(config: Config, pools: datasets.Pools, team: Team) -> None:
    batch_size = config.optimisation.batch_size
    assert batch_size is not None
    team.check_batch(batch_size, config.model.members)
    sizes = {
        "training": len(pools.train),
        "validation": len(pools.validation),
        "test": len(pools.test),
    }
    asked = [("--length", config.data.length, pool) for pool in sizes]
    asked += [("--lengths", length, "test") for length in config.run.lengths]
    for option, length, pool in asked:
        if length > sizes[pool]:
            raise UsageError(
                f"{option} {length} is longer than the {sizes[pool]:,} {pool} digits"
            )


def _name(config: Config, pools: datasets.Pools) -> str:
    default = f"{pools.name}-length{config.data.length}-{config.model.head}"
    return config.run.name or default
