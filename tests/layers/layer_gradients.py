"""Outputs and gradients of a layer, on whichever backend Keras runs."""

import keras
import numpy as np
from keras import ops


def cotangent(shape):
    """A fixed direction in which to differentiate an output of this shape."""
    return np.cos(np.arange(np.prod(shape)) + 1).reshape(shape)


def run(layer, x, states=(), **kwargs):
    """Calls a built layer and differentiates one linear form of all its outputs.

    Args:
        layer: a built recurrent layer.
        x: array `(batch, time, features)`.
        states: arrays to begin with, or none for the layer's own.
        **kwargs: other call arguments.

    Returns:
        Its outputs, and the gradients by x, `states` and trainable weights: lists of
        float64 arrays.
    """
    backend = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    outputs, gradients = backend[keras.backend.backend()](layer, x, states, kwargs)
    return [_array(y) for y in outputs], [_array(g) for g in gradients]


def _array(tensor):
    return np.float64(ops.convert_to_numpy(tensor))


def _form(outputs):
    return sum(
        ops.sum(ops.cast(y, "float32") * cotangent(y.shape).astype("float32"))
        for y in outputs
    )


def _call(call, x, states, kwargs):
    if states:
        kwargs = {**kwargs, "initial_state": list(states)}
    return keras.tree.flatten(call(x, **kwargs))


def _tensorflow(layer, x, states, kwargs):
    import tensorflow as tf

    x, *states = [tf.constant(array) for array in (x, *states)]
    with tf.GradientTape() as tape:
        tape.watch([x, *states])
        outputs = _call(layer, x, states, kwargs)
        value = _form(outputs)
    sources = [x, *states, *(w.value for w in layer.trainable_weights)]
    return outputs, tape.gradient(value, sources, unconnected_gradients="zero")


def _jax(layer, x, states, kwargs):
    import jax

    fixed = [w.value for w in layer.non_trainable_variables]

    def forward(x, states, weights):
        def call(*args, **kwargs):
            return layer.stateless_call(weights, fixed, *args, **kwargs)[0]

        outputs = _call(call, x, states, kwargs)
        return _form(outputs), outputs

    weights = [w.value for w in layer.trainable_weights]
    gradient = jax.grad(forward, argnums=(0, 1, 2), has_aux=True)
    (by_x, by_states, by_weights), outputs = gradient(x, list(states), weights)
    return outputs, [by_x, *by_states, *by_weights]


def _torch(layer, x, states, kwargs):
    import torch

    x, *states = [torch.tensor(array, requires_grad=True) for array in (x, *states)]
    outputs = _call(layer, x, states, kwargs)
    sources = [x, *states, *(w.value for w in layer.trainable_weights)]
    gradients = torch.autograd.grad(_form(outputs), sources, allow_unused=True)
    return outputs, [
        torch.zeros_like(s) if g is None else g
        for s, g in zip(sources, gradients, strict=True)
    ]
