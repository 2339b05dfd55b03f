"""Outputs and gradients of a layer, on whichever backend Keras runs."""

import keras
import numpy as np
from keras import ops


def cotangent(shape):
    """Return a fixed direction in which to differentiate an output of this shape."""
    return np.cos(np.arange(np.prod(shape)) + 1).reshape(shape)


def run(layer, x, states=(), order=1, compiled=False, **kwargs):
    """Call a built layer and differentiate one linear form of all its outputs.

    Args:
        layer: a built recurrent layer.
        x: array `(batch, time, features)`.
        states: arrays to begin with, or none for the layer's own.
        order: 2 differentiates the same form of the gradients once more.
        compiled: whether to compile it all, where the backend can.
        **kwargs: other call arguments.

    Returns:
        Its outputs, and the gradients by x, `states` and trainable weights: lists of
        float64 arrays.
    """
    backend = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    differentiate = backend[keras.backend.backend()]
    outputs, gradients = differentiate(layer, x, states, order, compiled, kwargs)
    return [_array(y) for y in outputs], [_array(g) for g in gradients]


def _array(tensor):
    return np.float64(ops.convert_to_numpy(tensor))


def _form(outputs):
    total = 0.0
    for y in outputs:
        dtype = keras.backend.standardize_dtype(y.dtype)
        dtype = "float64" if dtype == "float64" else "float32"
        direction = ops.convert_to_tensor(cotangent(y.shape), dtype)
        total = total + ops.sum(ops.cast(y, dtype) * direction)
    return total


def _call(call, x, states, kwargs):
    if states:
        kwargs = {**kwargs, "initial_state": list(states)}
    return keras.tree.flatten(call(x, **kwargs))


def _tensorflow(layer, x, states, order, compiled, kwargs):
    import tensorflow as tf

    x, *states = [tf.constant(array) for array in (x, *states)]
    sources = [x, *states, *(w.value for w in layer.trainable_weights)]

    def differentiate(order):
        with tf.GradientTape() as tape:
            tape.watch(sources)
            if order == 1:
                value = _form(outputs := _call(layer, x, states, kwargs))
            else:
                outputs, gradients = differentiate(order - 1)
                value = _form(gradients)
        return outputs, tape.gradient(value, sources, unconnected_gradients="zero")

    if compiled:
        differentiate = tf.function(differentiate, autograph=False)
    return differentiate(order)


def _jax(layer, x, states, order, compiled, kwargs):
    import jax

    fixed = [w.value for w in layer.non_trainable_variables]

    def forward(sources):
        x, states, weights = sources

        def call(*args, **kwargs):
            return layer.stateless_call(weights, fixed, *args, **kwargs)[0]

        outputs = _call(call, x, states, kwargs)
        return _form(outputs), outputs

    def gradients(sources):
        return jax.grad(forward, has_aux=True)(sources)

    def second(sources):
        def form(sources):
            first, outputs = gradients(sources)
            return _form(keras.tree.flatten(first)), outputs

        return jax.grad(form, has_aux=True)(sources)

    differentiate = {1: gradients, 2: second}[order]
    differentiate = jax.jit(differentiate) if compiled else differentiate
    weights = [w.value for w in layer.trainable_weights]
    found, outputs = differentiate((x, list(states), weights))
    return outputs, keras.tree.flatten(found)


def _torch(layer, x, states, order, compiled, kwargs):
    import torch

    x, *states = [torch.tensor(array, requires_grad=True) for array in (x, *states)]
    sources = [x, *states, *(w.value for w in layer.trainable_weights)]
    outputs = found = _call(layer, x, states, kwargs)
    for remaining in reversed(range(order)):
        found = torch.autograd.grad(
            _form(found), sources, create_graph=remaining > 0, allow_unused=True
        )
        found = [
            torch.zeros_like(s, requires_grad=True) if g is None else g
            for s, g in zip(sources, found, strict=True)
        ]
    return outputs, found
