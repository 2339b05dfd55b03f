"""Loss and metrics of both heads against NumPy."""

import keras
import numpy as np
import pytest

from custom_lstm.heads import AbsoluteError, ExactMatch, Head, TotalsCrossentropy

RNG = np.random.default_rng(0)
TOTALS = RNG.integers(-9, 10, (5, 4, 1)).astype("float32")
LOGITS = RNG.normal(size=(5, 4, 19)).astype("float32")
VALUES = (TOTALS + RNG.normal(scale=0.5, size=TOTALS.shape)).astype("float32")
MASK = RNG.integers(0, 2, (5, 4)).astype("float32")


def test_totals_loss_is_the_negative_log_share():
    shares = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    picked = np.take_along_axis(shares, TOTALS.astype(int) + 9, axis=-1)
    loss = Head("totals", -9, 9).loss()(TOTALS, LOGITS)
    assert float(loss) == pytest.approx(-np.log(picked).mean(), rel=1e-6)


def test_value_loss_is_the_squared_error():
    loss = Head("value", -9, 9).loss()(TOTALS, VALUES)
    assert float(loss) == pytest.approx(((TOTALS - VALUES) ** 2).mean(), rel=1e-6)


@pytest.mark.parametrize("kind", ["totals", "value"])
def test_metrics_count_unmasked_steps_alone(kind):
    head = Head(kind, -9, 9)
    outputs = LOGITS if kind == "totals" else VALUES
    answers = LOGITS.argmax(-1) - 9.0 if kind == "totals" else VALUES[..., 0]
    assert np.allclose(head.answers(outputs), answers)
    right = np.rint(answers) == TOTALS[..., 0]
    error = np.abs(answers - TOTALS[..., 0])
    exact, mae = head.metrics()
    exact.update_state(TOTALS, outputs, sample_weight=MASK)
    mae.update_state(TOTALS, outputs, sample_weight=MASK)
    assert float(exact.result()) == pytest.approx((right * MASK).sum() / MASK.sum())
    assert float(mae.result()) == pytest.approx((error * MASK).sum() / MASK.sum())


@pytest.mark.parametrize(
    "thing",
    [
        TotalsCrossentropy(-18),
        ExactMatch(-18),
        ExactMatch(),
        AbsoluteError(-3),
    ],
)
def test_settings_survive_serialisation(thing):
    kind = keras.losses if isinstance(thing, keras.losses.Loss) else keras.metrics
    twin = kind.deserialize(kind.serialize(thing))
    assert type(twin) is type(thing)
    assert twin.get_config() == thing.get_config()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("total", 0, 9), "total"),
        (("value", 3, 1), "lowest=3"),
    ],
)
def test_impossible_heads_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        Head(*arguments)
