"""What the contracts of import-linter in pyproject.toml cannot say about imports."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "custom_lstm"
BACKENDS = {"tensorflow", "tf_keras", "jax", "torch"}
ON_TENSORFLOW = ("data/", "loading", "training/", "tasks/")
OF_BACKENDS = {  # beginnings of paths: the backends whose own API they may use
    "kernels/tensorflow_": {"tensorflow"},
    "kernels/jax_": {"jax"},
    "kernels/pytorch_": {"torch"},
    "kernels/cudnn": {"tensorflow", "jax"},
    "exporting/tensorflow_": {"tensorflow"},
    "exporting/jax_": {"jax"},
    "exporting/torch_": {"torch"},
    "checking/": {"tensorflow", "jax", "torch"},  # gradients: not in keras.ops
}
MODULES = {
    path.relative_to(PACKAGE).as_posix(): list(ast.walk(ast.parse(path.read_bytes())))
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imported(nodes):
    """Return the dotted names that a module imports, anywhere in it."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_imports_are_absolute():
    for path, nodes in MODULES.items():
        froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        assert not [node.lineno for node in froms if node.level], path


def test_only_public_keras_is_imported():
    names = {path: imported(nodes) for path, nodes in MODULES.items()}
    assert "keras" in names["tracing.py"]
    for path in names:
        private = [name for name in names[path] if name.startswith("keras.src")]
        assert not private, path


def test_a_backends_own_api_is_used_in_its_own_modules():
    for path, nodes in MODULES.items():
        used = {name.partition(".")[0] for name in imported(nodes)} & BACKENDS
        allowed = [own for start, own in OF_BACKENDS.items() if path.startswith(start)]
        assert path.startswith(ON_TENSORFLOW) or used <= set().union(*allowed), path
