import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tools.install_missing import read_requirements

ROOT = Path(__file__).parent.parent
OWN = {"common", "examples", "tools", "tests", "benchmarks"}
OPTIONAL = {"torch", "playwright", "axe_playwright_python"}  # for a comparison and a test that say how to install them


def read(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return read_requirements("\n".join(line for line in lines if not line.startswith("-r ")))


def test_the_oldest_versions_are_the_lower_ends_of_all_ranges():
    listings = ("requirements.txt", "requirements-serve.txt", "requirements-dev.txt")
    ranges = {one.name: one.specifier for listing in listings for one in read(listing)}
    oldest = {one.name: next(iter(one.specifier)).version for one in read("requirements-oldest.txt")}
    assert ranges.keys() == oldest.keys()
    for name, version in oldest.items():
        [least] = [bound.version for bound in ranges[name] if bound.operator == ">="]
        assert version == least or version.startswith(f"{least}."), f"{name}: {version}, not {least}"


def imports_of(path):
    """Return the top-level packages that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def sources(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


SERVERS = sources("examples/serve")
USERS = [path for path in sources("common", "examples") if path.name != "notebook.py" and path not in SERVERS]
USERS.append(ROOT / "tools" / "install_missing.py")


@pytest.mark.parametrize(
    ("paths", "listings"),
    [
        (USERS, ["requirements.txt"]),
        ([*USERS, *SERVERS], ["requirements.txt", "requirements-serve.txt", "requirements-page.txt"]),
        (
            sources(*OWN),
            ["requirements.txt", "requirements-dev.txt", "requirements-serve.txt", "requirements-page.txt"],
        ),
    ],
    ids=["users", "servers", "contributors"],
)
def test_whatever_is_imported_is_listed(paths, listings):
    """A package that only another one brings along may be of any version, or gone with the next release."""
    listed = {canonicalize_name(one.name) for listing in listings for one in read(listing)}
    packages = {name for path in paths for name in imports_of(path)} - OWN - OPTIONAL - sys.stdlib_module_names
    distributions = packages_distributions()
    names = {name: {canonicalize_name(found) for found in distributions.get(name, [name])} for name in packages}
    missing = {name for name in packages if not listed & names[name]}
    assert {"numpy", "urllib3", "tensorflow"} <= packages and missing == set()
