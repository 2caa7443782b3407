"""Modules poured into the one namespace of a notebook: their imports gathered, their names kept apart."""

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from symtable import symtable

_SORT = (sys.executable, "-m", "ruff", "check", "--select=I", "--fix", "--quiet", "--stdin-filename=x.py", "-")
_ROOT = Path(__file__).parent.parent  # where ruff finds which imports are our own


@dataclass(frozen=True)
class Parts:
    """A piece of source, taken apart."""

    imports: list[ast.Import | ast.ImportFrom]
    names: list[str]
    """Bound at the top level by anything but imports."""
    rest: str
    """The source without the imports and a docstring that it begins with."""


def split_source(source: str) -> Parts:
    """Take the imports out of a piece of source.

    A string that documents the name above it becomes a comment: at the end of a cell it would be shown as output.
    """
    lines = source.splitlines()
    imports = []
    for position, node in enumerate(ast.parse(source).body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
            instead = []
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            instead = [f"# {line.strip()}" for line in node.value.value.splitlines()] if position else []
        else:
            continue
        lines[node.lineno - 1] = "\n".join(instead) if instead else None
        lines[node.lineno : node.end_lineno] = [None] * (node.end_lineno - node.lineno)
    symbols = symtable(source, "cell", "exec").get_symbols()
    names = [symbol.get_name() for symbol in symbols if symbol.is_assigned() and not symbol.is_imported()]
    return Parts(imports, names, "\n".join(line for line in lines if line is not None).strip("\n"))


class Namespace:
    """What each name of a notebook stands for, so that no module takes another one's names."""

    def __init__(self):
        """Empty."""
        self._meanings: dict[str, str] = {}
        self._imports: list[str] = []

    def add(self, module: str, parts: Parts, package: str) -> None:
        """Take in a piece of `module`; its imports from `package` bring nothing, because that is in the notebook.

        Raises:
            ValueError: a name has another meaning already, or an import that cannot be resolved so.
        """
        for name in parts.names:
            self._bind(name, f"{module}.py")
        for node in parts.imports:
            from_package = isinstance(node, ast.ImportFrom) and node.module.startswith("examples")
            if from_package and (not node.module.startswith(f"{package}.") or any(a.asname for a in node.names)):
                raise ValueError(f"{module}.py: {ast.unparse(node)}: expected from {package}.MODULE import NAMES")
            if from_package:
                continue
            self._imports.append(ast.unparse(node))
            for alias in node.names:
                origin = f"{node.module}." if isinstance(node, ast.ImportFrom) else "the module "
                self._bind(alias.asname or alias.name, origin + alias.name)

    def _bind(self, name: str, meaning: str) -> None:
        before = self._meanings.setdefault(name, meaning)
        if before != meaning:
            raise ValueError(f"{name}: means one thing by {before}, another by {meaning}; rename one of them")

    def imports(self) -> str:
        """Return one block of all imports, merged and sorted."""
        source = "\n".join(self._imports)
        return subprocess.run(_SORT, input=source, cwd=_ROOT, capture_output=True, text=True, check=True).stdout.strip()
