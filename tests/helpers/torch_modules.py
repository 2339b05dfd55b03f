"""Run real torch modules, in a process where torch comes before TensorFlow.

    python torch_modules.py weights.npz results.npz '{"name": ["LSTM", {...}], ...}'

For every case a module with weights of its own, converted to Keras's, and one that
loads weights converted from Keras's, which `weights.npz` brings.
"""

import json
import sys

import numpy as np


def run(module, x):
    """Return outputs of all steps, and the last states."""
    import torch

    with torch.no_grad():
        x = torch.from_numpy(x)
        step = isinstance(module, torch.nn.RNNCellBase)
        outputs, states = (run_cell if step else type(module).__call__)(module, x)
    states = states if isinstance(states, tuple) else (states,)
    return [tensor.numpy() for tensor in (outputs, *states)]


def run_cell(cell, x):
    """Return the same of a cell, which does one step."""
    import torch

    states, outputs = None, []
    for step in x.unbind(1):
        states = cell(step, states)
        outputs.append(states[0] if isinstance(states, tuple) else states)
    last = tuple(s[None] for s in states) if isinstance(states, tuple) else states[None]
    return torch.stack(outputs, 1), last


def other_ways(module):
    """Return what `from_torch` makes of a module and of its list of arrays, in float32.

    And of the module in bfloat16, with what it should be.
    """
    import torch

    from custom_lstm.convert import from_torch

    both_ways = getattr(module, "bidirectional", False)
    flat = getattr(module, "_flat_weights", None)
    kept = {
        "module": from_torch(module),
        "nested": from_torch(torch.nn.ModuleDict({"a": module, "b": module}), "b."),
        "flat": from_torch(flat, bidirectional=both_ways) if flat else [],
    }
    half = {n: t.to(torch.bfloat16) for n, t in module.state_dict().items()}
    kept["rounded"] = from_torch({name: t.float() for name, t in half.items()})
    kept["bfloat16"] = from_torch(half)
    return {
        name: [array for layer in layers for array in layer]
        for name, layers in kept.items()
    }


def main(given, results, cases):
    import torch  # before Keras and TensorFlow

    from custom_lstm.convert import from_torch

    arrays = np.load(given)
    kept = {}

    def keep(prefix, values):
        kept.update({f"{prefix}/{k}": value for k, value in enumerate(values)})

    for case, (kind, options) in json.loads(cases).items():
        torch.manual_seed(0)
        first = {} if kind.endswith("Cell") else {"batch_first": True}
        module = getattr(torch.nn, kind)(**first, **options)
        for layer, weights in enumerate(from_torch(module.state_dict())):
            keep(f"{case}/ours/{layer}", weights)
        for way, weights in other_ways(module).items():
            keep(f"{case}/{way}", weights)
        keep(f"{case}/theirs", run(module, arrays["x"]))
        names = list(module.state_dict())
        loaded = {name: torch.tensor(arrays[f"{case}/{name}"]) for name in names}
        module.load_state_dict(loaded)
        keep(f"{case}/loaded", run(module, arrays["x"]))
    np.savez(results, **kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
