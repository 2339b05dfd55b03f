"""TMVA's XML written by hand, from the description of its format alone."""

import numpy as np

ATTRIBUTES = {
    "RNNLayer": ["StateSize", "InputSize", "TimeSteps", "RememberState"],
    "LSTMLayer": ["StateSize", "CellSize", "InputSize", "TimeSteps", "RememberState"],
    "GRULayer": ["StateSize", "InputSize", "TimeSteps", "RememberState"],
}
# Child of the file: what it holds, now and in interleaved files.
CHILDREN = {
    "RNNLayer": {
        "InputWeights": ("W", "W"),
        "StateWeights": ("U", "U"),
        "Biases": ("b", "b"),
    },
    "LSTMLayer": {
        "InputWeights": ("W_i", "W_i"),
        "InputStateWeights": ("W_f", "U_i"),
        "InputBiases": ("b_i", "b_i"),
        "ForgetWeights": ("W_c", "W_f"),
        "ForgetStateWeights": ("W_o", "U_f"),
        "ForgetBiases": ("b_f", "b_f"),
        "CandidateWeights": ("U_i", "W_c"),
        "CandidateStateWeights": ("U_f", "U_c"),
        "CandidateBiases": ("b_c", "b_c"),
        "OuputWeights": ("U_c", "W_o"),
        "OutputStateWeights": ("U_o", "U_o"),
        "OutputBiases": ("b_o", "b_o"),
    },
    "GRULayer": {
        "ResetWeights": ("W_r", "W_r"),
        "ResetStateWeights": ("W_z", "U_r"),
        "ResetBiases": ("b_r", "b_r"),
        "UpdateWeights": ("W_c", "W_z"),
        "UpdateStateWeights": ("U_r", "U_z"),
        "UpdateBiases": ("b_z", "b_z"),
        "CandidateWeights": ("U_z", "W_c"),
        "CandidateStateWeights": ("U_c", "U_c"),
        "CandidateBiases": ("b_c", "b_c"),
    },
}
GATES = {"RNNLayer": [""], "LSTMLayer": ["_i", "_f", "_c", "_o"]}
GATES["GRULayer"] = ["_z", "_r", "_c"]  # in Keras's order


def draw(tag, units, features, rng):
    """Return the matrices of a layer by name, in TMVA's shapes."""
    columns = {"W": features, "U": units, "b": 1}
    return {
        kind + gate: rng.normal(size=(units, columns[kind]))
        for kind in columns
        for gate in GATES[tag]
    }


def as_keras(tag, matrices, reset_after):
    """Return the same as Keras's weights."""
    kernel, recurrent_kernel, bias = (
        np.concatenate([matrices[kind + gate].T for gate in GATES[tag]], axis=1)
        for kind in "WUb"
    )
    two_rows = tag == "GRULayer" and reset_after
    bias = np.concatenate([bias, 0 * bias]) if two_rows else bias[0]
    return [kernel, recurrent_kernel, bias]


def element(tag, matrices, interleaved=False, reset_after=True, **changes):
    """One layer's XML. `changes` are attributes; None leaves one out."""
    units, features = matrices[GATES[tag][0].join(["W", ""])].shape
    sizes = {"StateSize": units, "CellSize": units, "InputSize": features}
    given = {**sizes, "TimeSteps": 5, "RememberState": 0}
    attributes = {name: given[name] for name in ATTRIBUTES[tag]}
    attributes["ReturnSequence"] = 1
    if tag == "GRULayer":
        attributes["ResetGateAfter"] = int(reset_after)
    attributes |= changes
    text = "".join(
        f' {name}="{value}"' for name, value in attributes.items() if value is not None
    )
    children = "".join(
        _child(name, matrices[holds[interleaved]])
        for name, holds in CHILDREN[tag].items()
    )
    return f"<{tag}{text}>{children}</{tag}>"


def _child(name, matrix):
    numbers = "  ".join(f"{number:.17e}" for number in matrix.ravel())
    rows, columns = matrix.shape
    return f'\n<{name} Rows="{rows}" Columns="{columns}">\n{numbers}  \n</{name}>'


def whole_file(*layers):
    """Return a weight file with everything around the layers."""
    return f"""<?xml version="1.0"?>
<MethodSetup Method="DL::DNN">
  <GeneralInfo><Info name="TMVA Release" value="4.2.1 [262657]"/></GeneralInfo>
  <Variables NVar="2"><Variable VarIndex="0" Expression="x" Min="-1.0"/></Variables>
  <Weights NetDepth="{len(layers) + 2}" LossFunction="C">
    <ReshapeLayer Depth="1" Height="5" Width="2" Flattening="0"/>
    {"".join(layers)}
    <DenseLayer Width="1" ActivationFunction="0">
      <Weights Rows="1" Columns="2">1.0e+00 nan </Weights>
      <Biases Rows="1" Columns="1">0.0e+00 </Biases>
    </DenseLayer>
  </Weights>
</MethodSetup>
""".encode()
