"""A whole LSTM sequence on TensorFlow, with its backward pass derived by hand.

The equations of a step, forward and backward, are `custom_lstm.cells.lstm`'s. What is
linear happens once for all steps: x·W before the loop, and after the backward loop
δW = Σ x_tᵀ·δz_t, δU = Σ h_{t−1}ᵀ·δz_t, δb = Σ δz_t and δx_t = δz_t·Wᵀ. Where a mask is
False, h, c, δh and δc pass through the step unchanged. Second derivatives are those of
autodiff.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from custom_lstm.cells.lstm import LSTMGates, lstm_step, lstm_step_backward
from custom_lstm.kernels.tensorflow_turns import Entries, Turns
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
    xla: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run all steps of a sequence, with the backward pass above instead of autodiff.

    Args:
        x, h, c, W, U, b, mask: see `Kernel` in the registry of kernels; of any float
            type.
        unroll: whether to unroll the loop, which needs a known `time`. The graph of a
            loop has the same size for every `time`.
        shards: parts of the batch that step side by side, a core each.
        xla: whether XLA compiles both passes for these shapes.

    Returns:
        h after every step, and the last h and c.

    Example:
        >>> x, zero = tf.ones((2, 5, 3)), tf.zeros((2, 4))
        >>> W, U, b = tf.ones((3, 16)), tf.ones((4, 16)), tf.zeros(16)
        >>> hs, h, c = lstm_sequence(x, zero, zero, W, U, b)
        >>> hs.shape, bool(tf.reduce_all(hs[:, -1] == h))
        (TensorShape([2, 5, 4]), True)
    """
    forward, backward = _COMPILED if xla else (_forward_pass, _backward_pass)

    @tf.custom_gradient
    def sequence(*inputs):
        x, h, c, W, U, b = (_unseen(tensor) for tensor in inputs)
        outputs, saved = forward(x, h, c, W, U, b, mask, unroll, shards)

        @tf.custom_gradient
        def gradient_of(*sources):
            above = sources[len(inputs) :]
            dhs, dh, dc = (_unseen(tensor) for tensor in above)
            found = backward(saved, W, U, dhs, dh, dc, unroll)
            return found, lambda *v: _second(inputs, above, v, mask, unroll, shards)

        return outputs, lambda *above: gradient_of(*inputs, *above)

    return sequence(x, h, c, W, U, b)


def is_eager() -> bool:
    """Return whether TensorFlow runs each operation at once."""
    return tf.executing_eagerly()


class _Part(NamedTuple):
    """What the backward pass needs of a part of the batch."""

    hs: Any  # as `_Loop.save` keeps it, with one entry more: before the first step
    cs: Any  # the same
    gates: Any  # each as `_Loop.save` keeps it
    keep: Any  # as the loop's layout has it, or None


def _forward_pass(x, h, c, W, U, b, mask, unroll, shards):
    loop = _Loop(x, unroll)
    late, across = _turn_late(loop, W), loop.batch_axis
    rows = tf.reshape(x if late else loop.turn(x), (-1, x.shape[-1]))
    xW = loop.from_rows(tf.nn.bias_add(tf.matmul(rows, W), b), late)
    xW = loop.turn(xW) if late else xW
    keep = None if mask is None else loop.turn(mask[..., None])
    xW, keep = _cut(xW, shards, across), _cut(keep, shards, across)
    cuts = zip(xW, _cut(h, shards), _cut(c, shards), keep, strict=True)
    done = [_forward_part(loop, *cut, U) for cut in cuts]
    states, parts = zip(*done, strict=True)
    hs = tf.concat([loop.stacked(part.hs[1:]) for part in parts], across)
    h, c = (tf.concat(pieces, 0) for pieces in zip(*states, strict=True))
    return (loop.turn(hs), h, c), (rows, list(parts))


def _forward_part(loop, xW, h, c, keep, U):
    xW, steps = loop.read(xW), loop.read(keep)
    hs, cs = loop.array(1).write(0, h), loop.array(1).write(0, c)

    def body(t, h, c, hs, cs, *gates):
        new_h, new_c, new_gates = lstm_step(xW.read(t), tf.matmul(h, U), c)
        new_h, new_c = tf.ensure_shape(new_h, h.shape), tf.ensure_shape(new_c, c.shape)
        if steps is not None:
            kept = steps.read(t)
            new_h, new_c = tf.where(kept, new_h, h), tf.where(kept, new_c, c)
        pairs = zip(gates, new_gates, strict=True)
        written = [array.write(t, gate) for array, gate in pairs]
        return new_h, new_c, hs.write(t + 1, new_h), cs.write(t + 1, new_c), *written

    arrays = hs, cs, *(loop.array() for _ in range(4))
    h, c, *arrays = loop(body, h, c, *arrays)
    hs, cs, *gates = map(loop.save, arrays)
    return (h, c), _Part(hs, cs, gates, keep)


def _backward_pass(saved, W, U, dhs, dh, dc, unroll):
    rows, parts = saved
    loop, shards = _Loop(dhs, unroll), len(parts)
    late, across = _turn_late(loop, W), loop.batch_axis
    dhs = _cut(loop.turn(dhs), shards, across)
    cuts = zip(parts, dhs, _cut(dh, shards), _cut(dc, shards), strict=True)
    done = [_backward_part(loop, *cut, U) for cut in cuts]
    dh, dc, dz = zip(*done, strict=True)
    dh, dc, dz = tf.concat(dh, 0), tf.concat(dc, 0), tf.concat(dz, across)
    width = dz.shape[-1]
    by_step = tf.reshape(dz, (-1, width))
    by_row = tf.reshape(loop.turn(dz), (-1, width)) if late else by_step
    dx = loop.from_rows(tf.matmul(by_row, W, transpose_b=True), late)
    dx = dx if late else loop.turn(dx)
    h_before = tf.concat([loop.stacked(part.hs[:-1]) for part in parts], across)
    h_before = tf.reshape(h_before, (-1, h_before.shape[-1]))
    dW = tf.matmul(rows, by_row, transpose_a=True)
    dU = tf.matmul(h_before, by_step, transpose_a=True)
    return dx, dh, dc, dW, dU, tf.reduce_sum(by_step, 0)


def _backward_part(loop, part, dhs, dh, dc, U):
    above, gates = loop.read(dhs), [loop.load(gate) for gate in part.gates]
    cs, keep = loop.load(part.cs, 1), loop.read(part.keep)

    def body(t, dh, dc, dz):
        dh = dh + above.read(t)
        step = LSTMGates(*(gate.read(t) for gate in gates))
        c_before, c = cs.read(t), cs.read(t + 1)
        new_dz, new_dc = lstm_step_backward(
            dh, dc, step, c_before, c, tf.raw_ops.SigmoidGrad, tf.raw_ops.TanhGrad
        )
        kept = None if keep is None else keep.read(t)
        if kept is not None:
            new_dz = tf.where(kept, new_dz, tf.zeros_like(new_dz))
            new_dc = tf.where(kept, new_dc, dc)
        new_dh = tf.ensure_shape(tf.matmul(new_dz, U, transpose_b=True), dh.shape)
        if kept is not None:
            new_dh = tf.where(kept, new_dh, dh)
        return new_dh, tf.ensure_shape(new_dc, dc.shape), dz.write(t, new_dz)

    dh, dc, dz = loop(body, dh, dc, loop.array(), backwards=True)
    return dh, dc, loop.stacked(loop.save(dz))


_COMPILED = tuple(
    tf.function(each_pass, jit_compile=True)
    for each_pass in (_forward_pass, _backward_pass)
)


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


def _unseen(tensor: Tensor) -> Tensor:
    """Hide a tensor from tapes; in a graph, also raise in forward mode."""
    if tf.inside_function():
        tensor = tf.raw_ops.PreventGradient(
            input=tensor,
            message="there is no forward mode inside a tf.function: call it eagerly",
        )
    return tf.stop_gradient(tensor)


@tf.function(autograph=False)
def _second(inputs, above, v, mask, unroll, shards):
    """Return the gradient of v·(gradient of the forward pass), all by autodiff.

    By `tf.gradients`: tapes record no forward derivatives of backward ones.
    """
    x, h, c, W, U, b = inputs
    outputs, _ = _forward_pass(x, h, c, W, U, b, mask, unroll, shards)
    zero = {"unconnected_gradients": tf.UnconnectedGradients.ZERO}
    first = tf.gradients(outputs, inputs, list(above), **zero)
    form = tf.add_n([tf.reduce_sum(a * b) for a, b in zip(first, v, strict=True)])
    return tf.gradients(form, [*inputs, *above], **zero)


class _Loop(Turns):
    """The steps of sequences like one, unrolled or as a loop over TensorArrays.

    Layouts are `(batch, time, ...)` unrolled, `(time, batch, ...)` in a loop; entries
    step by step are a list or a tensor.
    """

    def __init__(self, like: Tensor, unroll: bool):
        known = like.shape[1]
        super().__init__(tf.shape(like)[1] if known is None else known, unroll)
        self.dtype = like.dtype
        self.batch_axis = 0 if unroll else 1

    def turn(self, tensor: Tensor) -> Tensor:
        """Turn `(batch, time, width)` into the loop's layout, or back."""
        return tensor if self.unroll else tf.transpose(tensor, (1, 0, 2))

    def from_rows(self, rows: Tensor, batch_major: bool) -> Tensor:
        """Reshape rows to `(batch, time, width)` or `(time, batch, width)`."""
        first, second = (-1, self.time) if batch_major else (self.time, -1)
        return tf.reshape(rows, (first, second, rows.shape[-1]))

    def array(self, more: int = 0) -> Any:
        """Return an empty array with an entry a step, and `more`."""
        if self.unroll:
            return Entries([None] * (self.time + more))
        return tf.TensorArray(self.dtype, self.time + more, clear_after_read=False)

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
