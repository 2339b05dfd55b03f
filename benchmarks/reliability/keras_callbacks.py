"""The same small run, kept by Keras's ModelCheckpoint and BackupAndRestore."""

from pathlib import Path

import numpy as np
import processes


def run(folder: Path, log: Path, words: list[str]) -> processes.Process:
    """Begin, or resume, in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    return _Run([str(folder), *words], log)


class _Run(processes.Process):
    @staticmethod
    def job(saving, seen, words, log, before):
        """Train in the folder that the first word names."""
        processes.write_to(log)
        _train(Path(words[0]), words[1:], saving, seen)


def _train(folder: Path, words: list[str], saving, seen) -> None:
    import keras

    from custom_lstm import data
    from custom_lstm.tasks.digits.model import build_compiled
    from custom_lstm.tasks.digits.options import Config
    from custom_lstm.tasks.digits.task import augment_of, steps_per_epoch

    config = Config.parse(words).resolve_defaults("digits")
    pools = data.load_pools("digits")
    steps, epochs = steps_per_epoch(config, pools), config.optimisation.epochs
    model = build_compiled(config, steps)
    batches = data.training_sequences(
        pools.train,
        length=4,
        batch_size=config.optimisation.batch_size,
        epochs=epochs,
        seed=0,
        augment=augment_of(config),
    )
    every = {"save_freq": config.checkpoints.save_steps}
    calls = [
        keras.callbacks.ModelCheckpoint(folder / "last.keras", **every),
        keras.callbacks.BackupAndRestore(folder / "backup", **every),
    ]
    for call in calls:
        call._save_model = processes.watched(call._save_model, saving, seen)
    model.fit(
        batches,
        shuffle=False,
        epochs=epochs,
        steps_per_epoch=steps,
        callbacks=calls,
    )
    np.savez(folder / "weights.npz", *model.get_weights())


def weights(folder: Path):
    """Return the weights at the end of the run."""
    with np.load(folder / "weights.npz") as arrays:
        return [arrays[name] for name in arrays.files]
