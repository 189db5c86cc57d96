"""Imports run downward only. Read from the source, imports inside functions included."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (  # from the bottom; a module may import its own layer and those before it
    ("jaxclust", "errors", "typing", "numerics", "system"),
    ("data", "host", "losses", "assignments", "metrics", "levels", "trees"),
    ("nn",),
    ("train",),
    ("methods",),
    ("models", "core", "outliers"),
    ("runs",),
    ("estimators",),
    ("report",),
    ("cli", "__main__"),
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


def circles(graph):
    """The modules that, by however many steps, import themselves. graph: module -> the modules that it imports."""

    def reached(module):
        seen, left = set(), [module]
        while left:
            for other in graph.get(left.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    left.append(other)
        return seen

    return sorted(module for module in graph if module in reached(module))


def test_no_module_imports_itself_over_others():
    graph = {name_of(path): imports(path) for path in FILES}
    packages = {name_of(path) for path in FILES if path.name == "__init__.py"}
    assert circles({module: others - packages for module, others in graph.items()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


def method_of(module):
    """'jaxclust.methods.moe_vae.fit' -> 'moe_vae', '..baselines.dec' -> 'baselines.dec'; None for what they share."""
    pieces = module.removeprefix("jaxclust.methods.").split(".")
    if not module.startswith("jaxclust.methods.") or pieces[0] in ("base", "shared"):
        return None
    if pieces[0] != "baselines":
        return pieces[0]
    return None if pieces[1:] in ([], ["centroids"]) else ".".join(pieces[:2])


def test_methods_do_not_import_each_other():
    """Nor does anything else import one; `core` alone offers parts of them."""
    for path in FILES:
        if name_of(path) == "jaxclust.core":
            continue
        own = method_of(name_of(path))
        for other in imports(path):
            if method_of(other):
                assert method_of(other) == own or name_of(path) == other, f"{name_of(path)} imports {other}"


def test_flax_stays_in_its_room():
    for path in FILES:
        if part(name_of(path)) != "nn":
            lines = [line.strip() for line in path.read_text().splitlines()]
            assert [line for line in lines if line.startswith(("import flax", "from flax"))] == [], path


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


@pytest.mark.slow
def test_slow_packages_wait_until_they_are_used():
    """umap takes seconds to import (numba), matplotlib and tensorflow-datasets one each."""
    heavy = ("umap", "numba", "matplotlib", "tensorflow_datasets", "hdbscan", "torch")
    imports = "import sys, jaxclust.estimators, jaxclust.cli.fit"
    program = f"{imports}; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_public_names_exist():
    import jaxclust

    assert [name for name in jaxclust.__all__ if not hasattr(jaxclust, name)] == []
    assert set(jaxclust.__all__) <= set(dir(jaxclust))
    with pytest.raises(AttributeError, match="Nothing"):
        _ = jaxclust.Nothing
