"""An installation without extras: what runs, and what names the extra that it lacks."""

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import keras
import pytest

import custom_lstm
from custom_lstm import doctor, program
from custom_lstm.extras import BACKENDS, MissingExtra, backend, extra

ROOT = Path(__file__).parents[1]
BACKEND = keras.backend.backend()
OF_EXTRAS = (  # modules that only extras install; JAX brings SciPy itself
    *(name for name in BACKENDS if name != BACKEND),
    *("tensorflow_datasets", "tensorboard", "sklearn", "tyro", "pydantic", "tqdm"),
    *("platformdirs", "matplotlib", "PIL", "onnx", "onnxruntime", "tf2onnx"),
)
CORE = """
    import numpy as np, keras, custom_lstm
    from custom_lstm import cells, convert, layers
    from helpers import every_cell

    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    assert {"min_gru", "slstm", "ltc"} <= set(cells.names())
    for name in cells.names():
        cell = every_cell.make(name, 4)
        cell.build(x[:, 0].shape)
        h, _ = cell.call(x[:, 0], cell.get_initial_state(batch_size=2))
        assert np.isfinite(keras.ops.convert_to_numpy(h)).all(), name
    assert layers.MGU(4)(x).shape == (2, 4)

    layer = custom_lstm.LSTM(5, return_sequences=True)
    y = keras.ops.convert_to_numpy(layer(x))
    assert custom_lstm.trace(layer, x)["forget"].shape == (2, 3, 5)
    custom_lstm.cell_checks()[0](custom_lstm.MGUCell(2))
    weights = layer.get_weights()
    (back,) = convert.from_torch(convert.to_torch([weights]))
    np.testing.assert_array_equal(back[0], weights[0])
    stream = custom_lstm.Stream(keras.Sequential([keras.Input((None, 4)), layer]))
    chunks = [stream(x[:, :2]), stream(x[:, 2:])]
    np.testing.assert_allclose(np.concatenate(chunks, 1), y, atol=1e-5)
"""
MISSING = """
    import importlib
    import custom_lstm

    for module in ("plots", "data", "loading", "config", "training.loop"):
        try:
            importlib.import_module(f"custom_lstm.{module}")
        except ImportError as error:
            print(module, type(error).__name__, error)
"""
NAMED = {
    "plots": "plots",
    "data": "train",
    "loading": "train",
    "config": "train",
    "training.loop": "train",
}


def _run(code, lacking=OF_EXTRAS, **environment):
    """Run code in a process of its own in which some modules cannot be imported."""
    absent = f"import sys; sys.modules.update(dict.fromkeys({tuple(lacking)}))\n"
    paths = [str(ROOT / "tests"), *sys.path]
    return subprocess.run(
        [sys.executable, "-c", absent + textwrap.dedent(code)],
        env=os.environ
        | {"KERAS_BACKEND": BACKEND, "PYTHONPATH": os.pathsep.join(paths)}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_core_runs_without_any_extra():
    done = _run(CORE)
    assert done.returncode == 0, done.stderr


def test_what_is_missing_is_named_with_its_extra():
    done = _run(MISSING)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    there = {"loading"} if BACKEND == "tensorflow" else set()
    assert said.keys() == NAMED.keys() - there
    for module, message in said.items():
        wanted = (
            rf'MissingExtra (\w+) is .*: pip install "custom_lstm\[{NAMED[module]}\]"'
        )
        assert re.fullmatch(wanted, message)[1] in OF_EXTRAS


def test_the_command_without_its_extra_is_one_line():
    code = "from custom_lstm.__main__ import main; raise SystemExit(main(['--help']))"
    done = _run(code)
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()  # TensorFlow may have printed lines before
    said = r'custom-lstm: \w+ is not .*; run: pip install "custom_lstm\[train\]"'
    assert re.fullmatch(said, last)


def test_a_missing_backend_is_named_and_those_that_are_there():
    absent, other = (name for name in BACKENDS if name != BACKEND)
    done = _run("import custom_lstm", [absent, other], KERAS_BACKEND=absent)
    *_, last = done.stderr.splitlines()
    assert f'{absent} is not installed; run: pip install "custom_lstm[{absent}' in last
    assert last.endswith(f"choose an installed one: KERAS_BACKEND={BACKEND}")


def test_a_broken_package_keeps_its_own_error():
    for context in (extra("plots"), backend()):
        with pytest.raises(ModuleNotFoundError, match="No module") as error, context:
            import keras.no_such_module  # noqa: F401
        assert not isinstance(error.value, MissingExtra)


def test_the_innermost_extra_is_named():
    named = pytest.raises(MissingExtra, match=r"\[plots\]")
    with named, extra("train"), extra("plots"):
        import no_such_package  # noqa: F401


@pytest.mark.parametrize(
    ("called", "command", "name"),
    [
        ("/venv/bin/custom-lstm", "custom-lstm", "custom-lstm"),
        ("train.py", "python train.py", "train.py"),
        ("my code/train.py", "python 'my code/train.py'", "train.py"),
        (
            "/venv/custom_lstm/__main__.py",
            "python -m custom_lstm",
            "python -m custom_lstm",
        ),
        ("/venv/pytest/__main__.py", "custom-lstm", "custom-lstm"),
        ("", "custom-lstm", "custom-lstm"),
    ],
)
def test_hints_name_the_command_that_was_typed(monkeypatch, called, command, name):
    monkeypatch.setattr(sys, "argv", [called])
    assert program.command() == command
    assert program.name() == name


def test_the_program_says_what_it_is_called():
    done = subprocess.run(
        [sys.executable, "train.py", "doctor", "--no-such"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: train.py doctor")


def test_doctor_tells_what_a_bug_report_needs(capsys):
    assert doctor.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = [line.split(maxsplit=1) for line in lines]
    facts = {tuple(words)[0]: words[1] for words in said}
    assert facts["custom_lstm"].startswith(custom_lstm.__version__)
    assert facts["keras"] == keras.__version__
    assert facts["backend"].startswith(BACKEND)
    assert facts["devices"] and facts["data"]
    assert ["kernel", "reference runs"] in said
    others = {"tensorflow": "scan", "jax": "torch", "torch": "xla"}
    assert any(f"{others[BACKEND]} cannot run: it needs" in line for line in lines)


def _distribution(folder, name, version, *lines):
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    first = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}")
    (info / "METADATA").write_text("\n".join((*first, *lines)) + "\n")


def test_doctor_looks_into_the_extras_that_an_extra_names(tmp_path, monkeypatch):
    asked = {
        "gpu": "outer[cuda]>=1",
        "new": "outer>=3",
        "whole": "outer",
        "most": "custom_lstm[gpu,new]",
        "elsewhere": "absent; sys_platform == 'nowhere'",
    }
    lines = [f"Provides-Extra: {key}" for key in asked]
    for key, requirement in asked.items():
        name, _, marker = requirement.partition("; ")
        markers = " and ".join(filter(None, [marker, f"extra == '{key}'"]))
        lines.append(f"Requires-Dist: {name}; {markers}")
    _distribution(tmp_path, "custom_lstm", "9", "Requires-Dist: absent", *lines)
    cuda = "Provides-Extra: cuda", "Requires-Dist: inner; extra == 'cuda'"
    _distribution(tmp_path, "outer", "2.0", "Requires-Dist: absent", *cuda)
    monkeypatch.syspath_prepend(tmp_path)
    said = {line.split()[0]: line for line in doctor.environment() if line[0] == "["}
    assert said["[gpu]"].split("lacks ")[1] == (
        'inner; run: pip install "custom_lstm[gpu]"'
    )
    old = "outer>=3 (2.0 is installed); run"
    assert old in said["[new]"]
    assert f"lacks inner, {old}" in said["[most]"]
    assert said["[whole]"].endswith(" complete")
    assert said["[elsewhere]"].endswith(" complete")


def test_doctor_answers_without_a_backend():
    other = next(name for name in BACKENDS if name != BACKEND)
    done = subprocess.run(
        [sys.executable, "-c", _DOCTOR.format(other), str(ROOT / "train.py")],
        env=os.environ | {"KERAS_BACKEND": other},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    *_, last = done.stdout.splitlines()
    assert last.startswith(f"backend      none: {other} is not installed")


_DOCTOR = """
import runpy, sys
sys.modules[{!r}] = None
sys.argv = [sys.argv[1], "doctor"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_core_depends_on_few():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = {re.split(r"\W", text)[0] for text in project["dependencies"]}
    assert names == {"keras", "numpy", "h5py", "defusedxml", "packaging"}
    asked = {"tensorflow", "jax", "torch", "plots", "train", "export", "notebooks"}
    asked |= {"docs", "test", "gpu", "lint", "all"}
    assert asked <= set(project["optional-dependencies"])
