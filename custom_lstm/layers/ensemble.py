"""Networks that learn from separate parts of a batch and answer together."""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.validation import check_positive
from custom_lstm.typing import Config, Nest, Shape, Tensor


@keras.saving.register_keras_serializable(package="custom_lstm")
class EnsembleSplit(keras.layers.Layer):
    """In training, a member's part of the batch; otherwise all of it.

        y = x[k], x[k + m], x[k + 2m], …   for member k of m

    Networks that see the same examples in orders of their own err more independently of
    one another than networks that see the same batches, so their mean errs less often.
    `EnsembleMean` puts their answers together.

    Args:
        member: the member's number, from 0.
        ensemble_size: number of members.
        **kwargs: `name`, `dtype`, `trainable`; `members`, the former name of
            `ensemble_size`.

    Call arguments:
        x: `(batch, ...)`.
        training: whether to return the part.

    Raises:
        ValueError: if `ensemble_size` is less than 1, `member` is not below it, or, in
            training, the batch cannot be split into equal parts.
        tf.errors.InvalidArgumentError: for the last of these, where the size of the
            batch is known only when a graph of TensorFlow runs.

    Source: networks with weights and orders of their own, Lakshminarayanan, Pritzel and
    Blundell, 2017, https://arxiv.org/abs/1612.01474.

    Example:
        >>> split = EnsembleSplit(member=1, ensemble_size=2)
        >>> ops.convert_to_numpy(split(ops.arange(4.0), training=True)).tolist()
        [1.0, 3.0]
        >>> split(ops.arange(4.0)).shape[0]
        4
    """

    def __init__(self, member: int, ensemble_size: int | None = None, **kwargs: Any):
        size = kwargs.pop("members", ensemble_size)
        size = check_positive("EnsembleSplit", "ensemble_size", size, whole=True)
        if member not in range(size):
            raise ValueError(
                "EnsembleSplit: `member` must be an integer from 0 to below "
                f"`ensemble_size`. Received: member={member!r}, ensemble_size={size}"
            )
        super().__init__(**kwargs)
        self.member, self.ensemble_size = member, size

    def get_config(self) -> Config:
        """Return every constructor argument."""
        own = {"member": self.member, "ensemble_size": self.ensemble_size}
        return {**super().get_config(), **own}

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the input, with an unknown number of examples."""
        return (None, *input_shape[1:])

    def compute_output_spec(
        self, x: Tensor, training: bool | None = None
    ) -> keras.KerasTensor:
        """Return shape and dtype, the input's own."""
        return keras.KerasTensor(self.compute_output_shape(x.shape), x.dtype)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Return the part, or all."""
        if not training:
            return x
        return self._checked(x)[self.member :: self.ensemble_size]

    def _checked(self, x: Tensor) -> Tensor:
        """Return `x` if the batch can be split, which a graph may find when it runs."""
        batch, size = x.shape[0], self.ensemble_size
        expected = (
            f"EnsembleSplit {self.name!r}: in training the batch must be a multiple of "
            f"the {size} members."
        )
        if isinstance(batch, int) and batch % size:
            raise ValueError(f"{expected} Received shape: {tuple(x.shape)}")
        if batch is None and keras.backend.backend() == "tensorflow":
            from custom_lstm.kernels.tensorflow_assert import with_divisible_batch

            return with_divisible_batch(x, size, expected)
        return x


@keras.saving.register_keras_serializable(package="custom_lstm")
class EnsembleMean(keras.layers.Layer):
    """In training, the members' answers in turn; otherwise their mean.

    Of logits, the mean is of log-probabilities:

        y = 1/m · Σ_k log softmax(x_k)

    In training answer i is that to example i of the batch that `EnsembleSplit` split,
    so that any loss trains each member on its part.

    Args:
        logits: whether the answers are logits of a softmax, or plain numbers.
        first: outside training, return the first member's answers, where those of
            several have no mean.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        answers: a list of tensors `(batch, ..., units)`, one of each member.
        training: whether to return all of them.

    Raises:
        ValueError: if it is not given a list of answers of one shape.

    Source: the geometric mean of members' distributions, Heskes, "Selecting weighting
    factors in logarithmic opinion pools", NIPS 1997.

    Example:
        >>> mean = EnsembleMean(logits=False)
        >>> one, other = ops.array([[1.0], [2.0]]), ops.array([[3.0], [4.0]])
        >>> ops.convert_to_numpy(mean([one, other])).tolist()
        [[2.0], [3.0]]
        >>> ops.convert_to_numpy(mean([one, other], training=True)).tolist()
        [[1.0], [3.0], [2.0], [4.0]]
    """

    def __init__(self, logits: bool, first: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.logits, self.first = logits, first

    def get_config(self) -> Config:
        """Return every constructor argument."""
        own = {"logits": self.logits, "first": self.first}
        return {**super().get_config(), **own}

    def compute_output_shape(self, input_shape: Nest) -> Shape:
        """Return the shape of one member's answers, to any number of examples."""
        self._check(input_shape)
        return (None, *input_shape[0][1:])

    def call(self, answers: list[Tensor], training: bool | None = None) -> Tensor:
        """Return the answers, or their mean."""
        self._check(keras.tree.map_structure(lambda answer: answer.shape, answers))
        if training:
            in_turn = ops.stack(answers, axis=1)
            return ops.reshape(in_turn, (-1, *ops.shape(answers[0])[1:]))
        if self.first:
            return answers[0]
        stacked = ops.stack(answers)
        return ops.mean(ops.log_softmax(stacked) if self.logits else stacked, axis=0)

    def _check(self, shapes: Nest) -> None:
        alone = any(size is None or isinstance(size, int) for size in shapes)
        if alone or len({tuple(shape[1:]) for shape in shapes}) != 1:
            raise ValueError(
                f"EnsembleMean {self.name!r}: needs a list of answers of one shape, "
                f"one of each member. Received shapes: {shapes}"
            )


# Model files of earlier versions have these names.
_FORMER: dict[str, Any] = {
    "custom_lstm>MemberShare": EnsembleSplit,
    "custom_lstm>MemberVote": EnsembleMean,
}
keras.saving.get_custom_objects().update(_FORMER)
