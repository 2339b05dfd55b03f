"""Loops that JAX runs eagerly, compiled once for all calls that are alike.

JAX knows a compiled loop by its body, a function that each call of a layer makes anew.
So every eager call was compiled: a fifth of a second for a step of a millisecond. Here
a loop is known by the text of its operations.
"""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

_MOST = 128
"""Loops that are kept; of more the one not called for longest is forgotten."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""Of rules for derivatives, which are not run."""


def compiled_once(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """Run a function that was compiled if one with the same operations was run before.

    Args:
        function: of tensors, in lists and the like. Other values that it reads count
            as operations, tensors among them as arguments.
        arguments: no tracers.

    Returns:
        What the function returns.

    Example:
        >>> compiled_once(lambda x: 2 * x, [jax.numpy.ones(2)]).tolist()
        [2.0, 2.0]
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    text = _ADDRESS.sub("", str(closed.jaxpr))
    if closed.effects or "callback" in text:  # Python that the text does not tell
        return function(*arguments)
    tensors = [*closed.consts, *jax.tree.leaves(arguments)]
    kinds = tuple(str(jax.typeof(tensor)) for tensor in tensors)
    kept = _kept(text, kinds, tuple(_arrays(closed.jaxpr)))
    if not kept:
        kept.append(_jitted(closed))
    return jax.tree.unflatten(jax.tree.structure(shapes), kept[0](*tensors))


@functools.lru_cache(_MOST)
def _kept(text: str, kinds: Any, arrays: Any) -> list[Callable[..., Any]]:
    """Return the list that their function is put into."""
    return []


def _arrays(jaxpr: Any) -> Iterator[bytes]:
    """Yield the arrays that operations hold themselves, which texts leave out."""
    for equation in jaxpr.eqns:
        held = [v.val for v in equation.invars if hasattr(v, "val")]
        for part in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr):
            if _is_jaxpr(part):
                held += getattr(part, "consts", [])
                yield from _arrays(getattr(part, "jaxpr", part))
        yield from (np.asarray(array).tobytes() for array in held)


def _is_jaxpr(part: Any) -> bool:
    return hasattr(part, "eqns")


def _jitted(closed: Any) -> Callable[..., Any]:
    jaxpr, count = closed.jaxpr, len(closed.consts)

    @jax.jit
    def run(*tensors):
        return jax.core.eval_jaxpr(jaxpr, tensors[:count], *tensors[count:])

    return run
