"""A whole LSTM sequence on TensorFlow, with its backward pass derived by hand.

The equations of a step, forward and backward, are `custom_lstm.cells.lstm`'s. What is
linear happens once for all steps: x·W before the loop, and after the backward loop
δW = Σ x_tᵀ·δz_t, δU = Σ h_{t−1}ᵀ·δz_t, δb = Σ δz_t and δx_t = δz_t·Wᵀ. Where a mask is
False, h, c, δh and δc pass through the step unchanged. Second derivatives are those of
autodiff.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from custom_lstm.cells.lstm import LSTMGates, lstm_step, lstm_step_backward
from custom_lstm.kernels.tensorflow_turns import (
    Entries,
    Turns,
    Written,
    as_function,
    of_shape,
    unseen,
)
from custom_lstm.typing import Tensor


def lstm_sequence(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    W: Tensor,
    U: Tensor,
    b: Tensor,
    mask: Tensor | None = None,
    *,
    unroll: bool = False,
    shards: int = 1,
    steps: int = 1,
    keep: bool = True,
    only_last: bool = False,
    xla: bool = False,
    training: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run all steps of a sequence, with the backward pass above instead of autodiff.

    Args:
        x, h, c, W, U, b, mask: see `Kernel` in the registry of kernels; of any float
            type.
        unroll: whether to unroll the loop, which needs a known `time`. The graph of a
            loop has the same size for every `time`.
        shards: parts of the batch that step side by side, a core each.
        steps: how many of them one turn of a loop takes.
        keep: whether to keep what the backward pass needs. If not, it runs the loop
            forward again.
        only_last: whether to return h after the last step alone, `(batch, 1, units)`.
        xla: whether XLA compiles both passes for these shapes.
        training: whether what is traced is for training; see `unseen`.

    Returns:
        h after every step, and the last h and c.

    Example:
        >>> x, zero = tf.ones((2, 5, 3)), tf.zeros((2, 4))
        >>> W, U, b = tf.ones((3, 16)), tf.ones((4, 16)), tf.zeros(16)
        >>> hs, h, c = lstm_sequence(x, zero, zero, W, U, b)
        >>> hs.shape, bool(tf.reduce_all(hs[:, -1] == h))
        (TensorShape([2, 5, 4]), True)
    """
    forward: Callable[..., Any] = _forward_pass
    backward: Callable[..., Any] = _backward_pass
    if xla:  # TensorFlow Lite cannot convert a model that holds one function twice
        forward, backward = _COMPILED if keep else _compiled()

    how = _How(unroll, shards, steps, only_last)

    @tf.custom_gradient
    def sequence(*inputs):
        hidden = [unseen(tensor, training or xla) for tensor in inputs]
        x, W, U = hidden[0], *hidden[3:5]
        outputs, saved = forward(*hidden, mask, how, keep)

        @tf.custom_gradient
        def gradient_of(*sources):
            above = sources[len(inputs) :]
            dhs, dh, dc = (unseen(tensor, training or xla) for tensor in above)
            kept = saved if keep else forward(*hidden, mask, how, True)[1]
            found = backward(kept, x, W, U, dhs, dh, dc, how)
            return found, lambda *v: _second(inputs, above, v, mask, only_last)

        return outputs, lambda *above: gradient_of(*inputs, *above)

    return sequence(x, h, c, W, U, b)


def is_eager() -> bool:
    """Return whether TensorFlow runs each operation at once."""
    return tf.executing_eagerly()


class _How(NamedTuple):
    """How the steps are taken: see `lstm_sequence`."""

    unroll: bool = False
    shards: int = 1
    steps: int = 1
    only_last: bool = False


class _Part(NamedTuple):
    """What the backward pass needs of a part of the batch."""

    hs: Any = None  # as `_Loop.save` keeps it; first an entry before the first step
    cs: Any = None  # the same
    gates: Any = None  # each as `_Loop.save` keeps it
    keep: Any = None  # as the loop's layout has it, or None


def _forward_pass(x, h, c, W, U, b, mask, how, keep):
    loop, shards = _Loop(x, how), how.shards
    late, across = _turn_late(loop, W), loop.batch_axis
    rows = tf.reshape(x if late else loop.turn(x), (-1, x.shape[-1]))
    xW = loop.from_rows(tf.nn.bias_add(tf.matmul(rows, W), b), late)
    xW = loop.turn(xW) if late else xW
    acts = None if mask is None else loop.turn(mask[..., None])
    xW, acts = _cut(xW, shards, across), _cut(acts, shards, across)
    cuts = zip(xW, _cut(h, shards), _cut(c, shards), acts, strict=True)
    run = _forward_part if keep else functools.partial(_answer, whole=not how.only_last)
    done = [run(loop, *cut, U) for cut in cuts]
    states, parts = zip(*done, strict=True)
    h, c = (_joined(pieces, 0) for pieces in zip(*states, strict=True))
    if how.only_last:
        return (h[:, None], h, c), (rows, list(parts))
    hs = [loop.stacked(part.hs[1:] if keep else part.hs) for part in parts]
    return (loop.turn(_joined(hs, across)), h, c), (rows, list(parts))


def _answer(loop, xW, h, c, keep, U, *, whole):
    """Run a part of the batch and keep h alone, if the `whole` of it is asked for."""
    xW, acts = loop.read(xW), loop.read(keep)
    step = _forward_step(U, loop)

    def body(t, h, c, *hs):
        h, c, *_ = step([xW.read(t), h, c], [None if acts is None else acts.read(t)])
        return h, c, *(array.write(t, h) for array in hs)

    arrays = [loop.written(like=h)] if whole else []
    h, c, *hs = loop(body, h, c, *arrays)
    return (h, c), _Part(*map(loop.save, hs)) if whole else _Part()


def _forward_part(loop, xW, h, c, keep, U):
    xW, acts = loop.read(xW), loop.read(keep)
    hs, cs = loop.array(1, like=h).write(0, h), loop.array(1, like=c).write(0, c)
    step = _forward_step(U, loop)

    def body(t, h, c, hs, cs, *gates):
        given = [xW.read(t), h, c], [None if acts is None else acts.read(t)]
        h, c, *made = step(*given)
        written = [array.write(t, a) for array, a in zip(gates, made, strict=True)]
        return h, c, hs.write(t + 1, h), cs.write(t + 1, c), *written

    arrays = hs, cs, *(loop.array(like=h) for _ in range(4))
    h, c, *arrays = loop(body, h, c, *arrays)
    hs, cs, *gates = map(loop.save, arrays)
    return (h, c), _Part(hs, cs, gates, keep)


def _forward_step(U, loop):
    """Return one step: [x·W, h, c] and [where it acts, or None] to h, c and gates."""

    def step(given, acts):
        xW, h, c = given
        new_h, new_c, gates = lstm_step(xW, tf.matmul(h, U), c)
        if acts[0] is not None:
            new_h, new_c = tf.where(acts[0], new_h, h), tf.where(acts[0], new_c, c)
        return [of_shape(new_h, h.shape), of_shape(new_c, c.shape), *gates]

    return as_function(step, loop.unroll)


def _backward_pass(saved, x, W, U, dhs, dh, dc, how):
    rows, parts = saved
    loop, shards = _Loop(x, how), len(parts)
    late, across = _turn_late(loop, W), loop.batch_axis
    if how.only_last:
        dh, dhs = dh + dhs[:, 0], None
    x = _cut(loop.from_rows(rows, late), shards, 0 if late else across)
    dhs = _cut(None if dhs is None else loop.turn(dhs), shards, across)
    cuts = zip(parts, x, dhs, _cut(dh, shards), _cut(dc, shards), strict=True)
    done = [_backward_part(loop, late, *cut, W, U) for cut in cuts]
    *by_sequence, dW, dU, db = zip(*done, strict=True)
    dx, dh, dc = (_joined(pieces, 0) for pieces in by_sequence)
    return dx, dh, dc, *(tf.add_n(pieces) for pieces in (dW, dU, db))


def _backward_part(loop, late, part, x, dhs, dh, dc, W, U):
    """Run a part of the batch; its products too, so that nothing long is joined."""
    above, gates = loop.read(dhs), [loop.load(gate) for gate in part.gates]
    cs, keep = loop.load(part.cs, 1), loop.read(part.keep)

    step = _backward_step(U, loop)

    def body(t, dh, dc, dz):
        given = [dh, dc, cs.read(t), cs.read(t + 1), *(gate.read(t) for gate in gates)]
        also = [None if array is None else array.read(t) for array in (above, keep)]
        dh, dc, new_dz = step(given, also)
        return dh, dc, dz.write(t, new_dz)

    dh, dc, dz = loop(body, dh, dc, loop.array(), backwards=True)
    dz = loop.stacked(loop.save(dz))
    by_step = tf.reshape(dz, (-1, dz.shape[-1]))
    by_row = tf.reshape(loop.turn(dz), (-1, dz.shape[-1])) if late else by_step
    dx = loop.from_rows(tf.matmul(by_row, W, transpose_b=True), late)
    h_before = loop.stacked(part.hs[:-1])
    h_before = tf.reshape(h_before, (-1, h_before.shape[-1]))
    dW = tf.matmul(tf.reshape(x, (-1, x.shape[-1])), by_row, transpose_a=True)
    dU = tf.matmul(h_before, by_step, transpose_a=True)
    return dx if late else loop.turn(dx), dh, dc, dW, dU, tf.reduce_sum(by_step, 0)


def _backward_step(U, loop):
    """Return one step backward to δh, δc and δz.

    It takes [δh, δc, c before, c, *gates] and [δh from above or None, where it acts or
    None].
    """

    def step(given, also):
        dh, dc, c_before, c, *gates = given
        above, acts = also
        dh = dh if above is None else dh + above
        dz, new_dc = lstm_step_backward(
            dh,
            dc,
            LSTMGates(*gates),
            c_before,
            c,
            tf.raw_ops.SigmoidGrad,
            tf.raw_ops.TanhGrad,
        )
        if acts is not None:
            dz = tf.where(acts, dz, tf.zeros_like(dz))
            new_dc = tf.where(acts, new_dc, dc)
        new_dh = tf.matmul(dz, U, transpose_b=True)
        if acts is not None:
            new_dh = tf.where(acts, new_dh, dh)
        return [of_shape(new_dh, dh.shape), of_shape(new_dc, dc.shape), dz]

    return as_function(step, loop.unroll)


def _compiled() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return both passes, compiled by XLA."""
    passes = (_forward_pass, _backward_pass)
    options = {"autograph": False, "jit_compile": True}
    forward, backward = (tf.function(one, **options) for one in passes)
    return forward, backward


_COMPILED = _compiled()


def _turn_late(loop: "_Loop", W: Tensor) -> bool:
    """Whether to turn x·W into the loop's layout, not x: the narrower one."""
    return loop.unroll or W.shape[0] > W.shape[1]


def _cut(tensor: Tensor | None, shards: int, axis: int = 0) -> list[Any]:
    """Near-equal parts of a tensor along the batch; None is cut into Nones."""
    if shards == 1 or tensor is None:
        return [tensor] * shards
    size = tf.shape(tensor)[axis] if tensor.shape[axis] is None else tensor.shape[axis]
    sizes = [(size + k) // shards for k in range(shards)]
    return tf.split(tensor, sizes, axis, num=shards)


def _joined(pieces: Sequence[Tensor], axis: int) -> Tensor:
    return pieces[0] if len(pieces) == 1 else tf.concat(pieces, axis)


@tf.function(autograph=False)
def _second(inputs, above, v, mask, only_last):
    """Return the gradient of v·(gradient of the forward pass), all by autodiff.

    By `tf.gradients`: tapes record no forward derivatives of backward ones. In a loop:
    steps written out would be there four times.
    """
    x, h, c, W, U, b = inputs
    how = _How(only_last=only_last)
    outputs, _ = _forward_pass(x, h, c, W, U, b, mask, how, False)
    zero = {"unconnected_gradients": tf.UnconnectedGradients.ZERO}
    first = tf.gradients(outputs, inputs, list(above), **zero)
    form = tf.add_n([tf.reduce_sum(a * b) for a, b in zip(first, v, strict=True)])
    return tf.gradients(form, [*inputs, *above], **zero)


class _Loop(Turns):
    """The steps of sequences like one, unrolled or as a loop over TensorArrays.

    Layouts are `(batch, time, ...)` unrolled, `(time, batch, ...)` in a loop; entries
    step by step are a list or a tensor.
    """

    def __init__(self, like: Tensor, how: _How):
        known = like.shape[1]
        time = tf.shape(like)[1] if known is None else known
        super().__init__(time, how.unroll, how.steps)
        self.dtype = like.dtype
        self.batch_axis = 0 if how.unroll else 1

    def turn(self, tensor: Tensor) -> Tensor:
        """Turn `(batch, time, width)` into the loop's layout, or back."""
        return tensor if self.unroll else tf.transpose(tensor, (1, 0, 2))

    def from_rows(self, rows: Tensor, batch_major: bool) -> Tensor:
        """Reshape rows to `(batch, time, width)` or `(time, batch, width)`."""
        first, second = (-1, self.time) if batch_major else (self.time, -1)
        return tf.reshape(rows, (first, second, rows.shape[-1]))

    def array(self, more: int = 0, like: Tensor | None = None) -> Any:
        """Return an empty array with an entry a step, each `like` this, and `more`."""
        if self.unroll:
            return Entries([None] * (self.time + more))
        return tf.TensorArray(
            self.dtype,
            self.time + more,
            clear_after_read=False,
            element_shape=None if like is None else like.shape,
        )

    def written(self, like: Tensor) -> Any:
        """Return an empty array that no step reads, with an entry like this a step."""
        if self.unroll:
            return self.array()
        batch = tf.shape(like)[0] if like.shape[0] is None else like.shape[0]
        sizes = [batch, like.shape[1]]
        return Written(self.dtype, self.time, self.steps, sizes)

    def read(self, tensor: Tensor | None) -> Any:
        """Return a whole sequence as such an array; None stays None."""
        if tensor is None:
            return None
        entries = tf.unstack(tensor, self.time, axis=1) if self.unroll else tensor
        return self.load(entries)

    def save(self, array: Any) -> Any:
        """Return an array's entries as tensors, which can leave their function."""
        return array.entries if self.unroll else array.stack()

    def load(self, entries: Any, more: int = 0) -> Any:
        """Return the array that `save` was given, with an entry a step, and `more`."""
        if self.unroll:
            return Entries(entries)
        size = self.time + more
        array = tf.TensorArray(entries.dtype, size, clear_after_read=False)
        return array.unstack(entries)

    def stacked(self, entries: Any) -> Tensor:
        """Return the whole sequence of what `save` returned, or of a part of it."""
        return tf.stack(entries, axis=1) if self.unroll else entries
