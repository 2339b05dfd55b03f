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
        outputs, states = module(torch.from_numpy(x))
    states = states if isinstance(states, tuple) else (states,)
    return [tensor.numpy() for tensor in (outputs, *states)]


def main(given, results, cases):
    import torch  # before Keras and TensorFlow

    from custom_lstm.convert import from_torch

    arrays = np.load(given)
    kept = {}

    def keep(prefix, values):
        kept.update({f"{prefix}/{k}": value for k, value in enumerate(values)})

    for case, (kind, options) in json.loads(cases).items():
        torch.manual_seed(0)
        module = getattr(torch.nn, kind)(batch_first=True, **options)
        for layer, weights in enumerate(from_torch(module.state_dict())):
            keep(f"{case}/ours/{layer}", weights)
        keep(f"{case}/theirs", run(module, arrays["x"]))
        names = list(module.state_dict())
        loaded = {name: torch.tensor(arrays[f"{case}/{name}"]) for name in names}
        module.load_state_dict(loaded)
        keep(f"{case}/loaded", run(module, arrays["x"]))
    np.savez(results, **kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
