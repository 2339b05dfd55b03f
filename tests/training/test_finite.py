"""Numbers that are not finite end the training at their step."""

import keras
import numpy as np
import pytest
from test_resuming import EPOCHS, STEPS, X, folder, model, restore, train, variables

from custom_lstm.errors import NotFinite
from custom_lstm.training.checkpoints import TrainingState
from custom_lstm.training.keeping import Keeping

__all__ = ["folder"]
EVERY_STEP = Keeping(save_minutes=0)


@pytest.mark.parametrize("loop", ["fit", "custom"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("step", [1, 4, 6, EPOCHS * STEPS])
def test_a_bad_batch_ends_it(folder, loop, value, step):
    x = X.copy()
    x[step - 1, 0, 0] = value
    with pytest.raises(NotFinite, match=f"^step {step}: the loss is"):
        train(model(), folder, TrainingState(), loop=loop, save=EVERY_STEP, x=x)
    if step == 1:
        assert folder.checkpoints() == []
        return
    restore(folder, kept := model())
    assert int(kept.optimizer.iterations) == step - 1
    assert all(np.isfinite(v).all() for v in variables(kept))
    if step > STEPS:
        assert len(folder.history.read_text().splitlines()) > 1


@pytest.mark.parametrize("loop", ["fit", "custom"])
def test_a_gradient_alone_is_noticed(folder, loop):
    """√|x| is finite at 0, its derivative is not; the loss of that step is."""
    inputs = keras.Input((3,))
    first = keras.layers.Dense(1, kernel_initializer="zeros", name="first")
    root = keras.ops.sqrt(keras.ops.abs(first(inputs)))
    bad = keras.Model(inputs, keras.layers.Dense(1)(root))
    bad.compile("adam", keras.losses.MeanSquaredError(), weighted_metrics=["mae"])
    said = "^step 1: a gradient was not finite: it spoiled .*first/kernel"
    with pytest.raises(NotFinite, match=said):
        train(bad, folder, TrainingState(), loop=loop, save=EVERY_STEP)
    assert folder.checkpoints() == []
