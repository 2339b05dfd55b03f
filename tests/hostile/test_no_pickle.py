"""Nothing in the package turns bytes from a file into code or objects."""

import ast
from pathlib import Path

import pytest

import custom_lstm

PACKAGE = Path(custom_lstm.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
BANNED_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal"}
BANNED_MODULES |= {"shelve", "code", "codeop", "runpy", "imp"}
BANNED_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "enable_unsafe_deserialization",
}


def called(node):
    """Name of what a call calls: `load` in `np.load(…)`, with what comes before."""
    function = node.func
    if isinstance(function, ast.Attribute):
        return ast.unparse(function.value), function.attr
    return "", getattr(function, "id", "")


def offences(source):
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        yield from (n for n in names if n.partition(".")[0] in BANNED_MODULES)
        if not isinstance(node, ast.Call):
            continue
        place, name = called(node)
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if name in BANNED_CALLS and (not place or name.startswith("enable")):
            yield ast.unparse(node)
        if "pickle" in name or given.get("safe_mode", "True") != "True":
            yield ast.unparse(node)
        if place in ("np", "numpy") and name in ("load", "fromfile", "savez", "save"):
            allowed = given.get("allow_pickle", "False" if name != "load" else "")
            if allowed != "False":
                yield ast.unparse(node)
        if place == "torch" and name == "load" and given.get("weights_only") != "True":
            yield ast.unparse(node)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_unpickles_or_evaluates(path):
    assert list(offences(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from pickle import loads", "import cloudpickle.x", "eval('1')"]
    + ["np.load(path)", "np.load(path, allow_pickle=True)", "exec(code)"]
    + ["keras.saving.load_model(path, safe_mode=False)", "pd.read_pickle(path)"]
    + ["keras.config.enable_unsafe_deserialization()", "torch.load(path)"],
)
def test_offences_are_seen(source):
    assert list(offences(source))


def test_model_files_are_loaded_in_one_place():
    """Besides `check_cell`, which reads back in a new process what it wrote itself."""
    where = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and called(node)
        in {("keras.saving", "load_model"), ("keras.models", "load_model")}
    }
    assert where == {"loading.py", "checking/saving.py", "checking/reload.py"}
