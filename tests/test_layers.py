"""The direction of imports: what is below does not know what is above it."""

import ast

import pytest

from examples.__main__ import example_names
from tools.notebooks import ROOT

PACKAGES = ("io", "data", "nn", "training", "viz", "app")  # each may import those before it
STEPS = ("config", "data", "model", "train", "demo", "evaluate", "export", "report")
MAY_IMPORT = {  # among the modules that have the same names in all examples
    "config": set(),
    "data": {"config"},
    "model": {"config"},
    "train": {"config", "data", "model", "demo"},
    "demo": {"config", "data", "model"},
    "evaluate": {"config", "data", "model", "demo"},
    "export": {"config", "data", "model", "demo"},
    "report": {"config", "data", "demo"},
}


def imported(path):
    """Return the modules that a file imports, wherever in it."""
    nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return names | {f"{node.module}.{alias.name}" for node in froms for alias in node.names}


@pytest.mark.parametrize("package", PACKAGES)
def test_common_imports_downwards_and_no_example(package):
    above = PACKAGES[PACKAGES.index(package) + 1 :]
    for path in (ROOT / "common" / package).glob("*.py"):
        names = imported(path)
        assert not [name for name in names if name.startswith("examples")], path
        assert not [name for name in names for other in above if name.startswith(f"common.{other}.")], path


@pytest.mark.parametrize("example", example_names())
@pytest.mark.parametrize("step", STEPS)
def test_a_step_imports_no_later_one_and_no_other_example(example, step):
    path = ROOT / "examples" / example / f"{step}.py"
    prefix = f"examples.{example}."
    names = [name for name in imported(path) if name.startswith("examples.")]
    assert all(name.startswith(prefix) for name in names)
    steps = {name.removeprefix(prefix).partition(".")[0] for name in names} & {*STEPS}
    assert steps <= MAY_IMPORT[step] | {step}


@pytest.mark.parametrize("folder", ["common", "examples", "tools", "benchmarks"])
def test_every_name_that_is_imported_from_here_exists(folder):
    """Also where a package is missing, so that the module itself cannot be imported."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] in ("common", "examples", "tools"):
                place = ROOT.joinpath(*node.module.split("."))
                source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
                defined = names_of(source) if source.exists() else set()
                modules = {found.stem for found in place.glob("*")}
                assert {alias.name for alias in node.names} <= defined | modules, f"{path}: {node.module}"


def names_of(path):
    """Return what a module defines at its top level, imports included."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        else:
            names |= {
                each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            }
    return names
