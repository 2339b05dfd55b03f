"""Keras's own tests pass with our classes; see benchmarks/reliability."""

import keras_suite
import pytest

CASES = list(keras_suite.cases())
APPLICABLE = [case for case in CASES if not case.why_not]


@pytest.mark.parametrize("case", APPLICABLE, ids=[case.name for case in APPLICABLE])
def test_a_case_of_keras_passes_with_our_classes(case):
    failure, _ = keras_suite.run(case)
    assert not failure


def test_what_is_said_not_to_apply_is_there():
    assert {case.name for case in CASES} >= keras_suite.NOT_APPLICABLE.keys()
    assert len(APPLICABLE) >= 66
