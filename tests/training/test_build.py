"""What is trained: members of a vote as networks alone."""

import keras
import numpy as np

from custom_lstm.training.build import build_compiled, build_optimizer
from custom_lstm.training.config import Config

CONFIG = Config().replace(length=3, units=6, filters=(3, 4), features=5, epochs=1)
LAYERS = ("encode", "core", "totals")
STEPS = 4


def test_a_member_learns_what_a_network_alone_would():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (STEPS, 8, 3, 28, 28, 1), np.uint8)
    totals = rng.integers(-9, 19, (STEPS, 8, 3, 1)).astype("float32")
    model = build_compiled(CONFIG.replace(members=2), STEPS)
    parts = [[model.get_layer(n + nth) for n in LAYERS] for nth in ("", "_2")]
    before = [[layer.get_weights() for layer in part] for part in parts]
    for batch in zip(images, totals, strict=True):
        model.train_on_batch(*batch)
    for number, (part, first) in enumerate(zip(parts, before, strict=True)):
        alone = build_compiled(CONFIG, STEPS)
        layers = [alone.get_layer(name) for name in LAYERS]
        for layer, weights in zip(layers, first, strict=True):
            layer.set_weights(weights)
        for batch in zip(images[:, number::2], totals[:, number::2], strict=True):
            alone.train_on_batch(*batch)
        for ours, theirs, weights in zip(part, layers, first, strict=True):
            for one, other, was in zip(
                ours.get_weights(), theirs.get_weights(), weights, strict=True
            ):
                np.testing.assert_allclose(one, other, rtol=0, atol=2e-6)
                assert np.abs(one - was).max() > 1e-4


def test_adam_steps_alike_for_a_members_part_of_the_gradient():
    """Also where it is as small as Adam's ε."""
    gradient = np.float32([1e-9, -1e-8, 1e-7, -1e-6, 1e-3])
    reached = []
    for members in (1, 8):
        weights = keras.Variable(np.zeros(5, "float32"))
        optimizer = build_optimizer(CONFIG.replace(members=members), STEPS)
        for _ in range(STEPS):
            optimizer.apply([gradient / members], [weights])
        reached.append(keras.ops.convert_to_numpy(weights))
    np.testing.assert_allclose(reached[1], reached[0], rtol=1e-5)
