"""Which test sequences the picture of predictions answers."""

import numpy as np
import pytest

from custom_lstm.heads import Head
from custom_lstm.training import pictures


class Reader:
    """A network that says a sequence's number, and is wrong in some."""

    def __init__(self, wrong):
        self.wrong, self.asked = wrong, 0

    def predict(self, images, batch_size, verbose):
        self.asked += len(images)
        said = images.astype("float32")
        return (said + np.isin(images, self.wrong))[..., None]


@pytest.mark.parametrize(
    ("wrong", "asked"),
    [([7, 8, 9], 256), ([7, 255, 256], 512), ([7, 8], 600), ([], 600)],
)
def test_answers_until_three_mistakes_are_found(wrong, asked):
    model, numbers = Reader(wrong), np.arange(600)[:, None]
    answers = pictures._answers(model, Head("value", 0, 9), numbers, numbers)
    assert model.asked == len(answers) == asked
    found = np.flatnonzero(pictures._mistaken(answers, numbers))
    np.testing.assert_array_equal(found, wrong)
