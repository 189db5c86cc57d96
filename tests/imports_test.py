"""Imports run downward only. Read from the source, imports inside functions included."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (  # from the bottom; a module may import its own layer and those before it
    ("jaxclust", "errors", "typing", "numerics", "atomic", "environment", "interrupts"),
    ("data", "host", "losses", "assignments", "metrics"),
    ("nn",),
    ("train",),
    ("methods",),
    ("models",),
    ("rundir", "runs", "presets"),
    ("inputs", "estimators"),
    ("report",),
    ("commands", "cli", "__main__"),
)
LOW = 1  # `data` and `host` import nothing above the lowest layer but each other
FILES = sorted((ROOT / "jaxclust").rglob("*.py"))


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part(module):
    """'jaxclust.train.loop' -> 'train'."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else "jaxclust"


def layer(module):
    for level, names in enumerate(LAYERS):
        if part(module) in names:
            return level
    raise AssertionError(f"{module} has no layer: add it to LAYERS")


MODULES = {name_of(path) for path in FILES}


def imports(path, in_functions=True):
    """Modules of jaxclust that a file imports; those for the type checker alone do not count."""
    found = set()

    def visit(node):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if not in_functions and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                found.add(longer if longer in MODULES else node.module)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return {module for module in found if module.split(".")[0] == "jaxclust"}


def upward(module, imported):
    return [other for other in sorted(imported) if layer(other) > layer(module)]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_import_runs_up(path):
    assert upward(name_of(path), imports(path)) == []


def test_data_and_host_stand_on_the_ground():
    for path in FILES:
        if part(name_of(path)) in ("data", "host"):
            for other in imports(path):
                assert layer(other) < LOW or part(other) == part(name_of(path)), f"{path.name} imports {other}"


def method_of(module):
    """'jaxclust.methods.baselines.dec' -> 'baselines.dec'; None for what methods share."""
    name = module.removeprefix("jaxclust.methods.")
    shared = name in ("base", "baselines", "jaxclust.methods") or name.startswith("parts")
    return None if shared or not module.startswith("jaxclust.methods.") else name


def test_methods_do_not_import_each_other():
    for path in FILES:
        own = method_of(name_of(path))
        for other in imports(path):
            if own and method_of(other):
                assert method_of(other) == own, f"{own} imports {other}"


def test_an_arrow_that_runs_up_is_seen(tmp_path):
    """The test above can fail."""
    file = tmp_path / "bad.py"
    file.write_text("def f():\n    from jaxclust.train import loop\n    import jaxclust.runs\n")
    assert imports(file) == {"jaxclust.train.loop", "jaxclust.runs"}
    assert upward("jaxclust.nn.bad", imports(file)) == ["jaxclust.runs", "jaxclust.train.loop"]


@pytest.mark.parametrize("statement", ["import jaxclust", "import jaxclust.cli"])
def test_importing_is_light(statement):
    heavy = ("jax", "flax", "umap", "matplotlib", "sklearn", "tensorflow_datasets", "numba", "numpy", "tyro")
    program = f"import sys; {statement}; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["jaxclust.estimators", "jaxclust.commands.fit"])
def test_slow_packages_wait_until_they_are_used(module):
    """umap takes seconds to import (numba), matplotlib and tensorflow-datasets one each."""
    heavy = ("umap", "numba", "matplotlib", "tensorflow_datasets", "hdbscan", "torch")
    program = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_public_names_exist():
    import jaxclust

    assert [name for name in jaxclust.__all__ if not hasattr(jaxclust, name)] == []
    assert set(jaxclust.__all__) <= set(dir(jaxclust))
    with pytest.raises(AttributeError, match="Nothing"):
        _ = jaxclust.Nothing
