"""Networks that learn apart and answer together: who learns from what, and the vote."""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.validation import check_positive


@keras.saving.register_keras_serializable(package="custom_lstm")
class MemberShare(keras.layers.Layer):
    """In training, a member's share of the batch; otherwise all of it.

        y = x[k], x[k + m], x[k + 2m], …   for member k of m

    Networks that see the same examples in orders of their own err more independently of
    one another than networks that see the same batches, so their vote errs less often.
    `MemberVote` puts together what they make of it.

    Args:
        member: the member's number, from 0.
        members: how many there are.
        **kwargs: `name`, `dtype`, `trainable`.

    Raises:
        ValueError: if `members` is less than 1, `member` is none of theirs, or, in
            training, the batch cannot be shared equally.

    Source: networks with weights and orders of their own, Lakshminarayanan, Pritzel and
    Blundell, 2017, https://arxiv.org/abs/1612.01474.

    Example:

    >>> share = MemberShare(member=1, members=2)
    >>> ops.convert_to_numpy(share(ops.arange(4.0), training=True)).tolist()
    [1.0, 3.0]
    >>> share(ops.arange(4.0)).shape[0]
    4
    """

    def __init__(self, member: int, members: int, **kwargs: Any):
        members = check_positive("MemberShare", "members", members, whole=True)
        if member not in range(members):
            raise ValueError(
                "MemberShare: `member` must be an integer from 0 to below `members`. "
                f"Received: member={member!r}, members={members}"
            )
        super().__init__(**kwargs)
        self.member, self.members = member, members

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        own = {"member": self.member, "members": self.members}
        return {**super().get_config(), **own}

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input, with fewer examples in training."""
        return (None, *input_shape[1:])

    def compute_output_spec(self, x: Any, training: Any = None) -> Any:
        """Shape and dtype, the input's own."""
        return keras.KerasTensor(self.compute_output_shape(x.shape), x.dtype)

    def call(self, x: Any, training: Any = None) -> Any:
        """The share, or all.

        Args:
            x: `(batch, ...)`.
            training: whether to take the share.
        """
        if not training:
            return x
        if x.shape[0] is not None and x.shape[0] % self.members:
            raise ValueError(
                f"MemberShare {self.name!r}: in training the batch must be a multiple "
                f"of the {self.members} members. Received shape: {tuple(x.shape)}"
            )
        return x[self.member :: self.members]


@keras.saving.register_keras_serializable(package="custom_lstm")
class MemberVote(keras.layers.Layer):
    """In training, the members' answers in turn; otherwise their mean.

    Of logits, the mean is of log-shares:

        y = 1/m · Σ_k log softmax(x_k)

    In training answer i is that to example i of the batch which `MemberShare` shared
    out, so that any loss trains each member on its share.

    Args:
        logits: whether the answers are logits of a softmax, or plain numbers.
        **kwargs: `name`, `dtype`, `trainable`.

    Raises:
        ValueError: if it is not given a list of answers of one shape.

    Source: the geometric mean of members' distributions, Heskes, "Selecting weighting
    factors in logarithmic opinion pools", NIPS 1997.

    Example:

    >>> vote = MemberVote(logits=False)
    >>> one, other = ops.array([[1.0], [2.0]]), ops.array([[3.0], [4.0]])
    >>> ops.convert_to_numpy(vote([one, other])).tolist()
    [[2.0], [3.0]]
    >>> ops.convert_to_numpy(vote([one, other], training=True)).tolist()
    [[1.0], [3.0], [2.0], [4.0]]
    """

    def __init__(self, logits: bool, **kwargs: Any):
        super().__init__(**kwargs)
        self.logits = logits

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "logits": self.logits}

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of one member's answers, of any number of examples."""
        self._check(input_shape)
        return (None, *input_shape[0][1:])

    def call(self, answers: Any, training: Any = None) -> Any:
        """The answers, or their mean.

        Args:
            answers: a list of tensors `(batch, ..., units)`, one of each member.
            training: whether to give all of them.
        """
        self._check(keras.tree.map_structure(lambda answer: answer.shape, answers))
        if training:
            in_turn = ops.stack(answers, axis=1)
            return ops.reshape(in_turn, (-1, *ops.shape(answers[0])[1:]))
        stacked = ops.stack(answers)
        return ops.mean(ops.log_softmax(stacked) if self.logits else stacked, axis=0)

    def _check(self, shapes: Any) -> None:
        alone = any(size is None or isinstance(size, int) for size in shapes)
        if alone or len({tuple(shape[1:]) for shape in shapes}) != 1:
            raise ValueError(
                f"MemberVote {self.name!r}: needs a list of answers of one shape, one "
                f"of each member. Received shapes: {shapes}"
            )
