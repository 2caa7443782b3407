"""Compose the notebook of every example from its modules: python -m tools.notebooks.

The order, and what only the notebook says, stand in `examples/NAME/notebook.py`. Each of its cells tagged "include"
imports names from modules of the example; in the notebook, the cells of those modules stand in its place, after those
of modules that they need and that no later cell mentions. So readers can change and run again whatever the example
consists of, and import nothing but `common`.

Left out are docstrings of modules and cells tagged "module"; the imports are gathered in one cell. The code of modules
that are mentioned nowhere, or not written in cells, comes folded. The output depends on nothing but the sources.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools.namespace import Namespace, split_source

ROOT = Path(__file__).parent.parent
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}  # the first for Colab, the second for Jupyter
SET_UP_TEXT = """\
## Set up

Run the cells from top to bottom: *Runtime*, *Run all*, or Shift+Enter cell by cell. On Colab, the next cell fetches the
code and installs what is missing; for a GPU choose *Runtime*, *Change runtime type* first. In a checkout it only
finds the code."""
SET_UP = f"""\
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = "{REPOSITORY}"

here = Path.cwd()
checkout = next((folder for folder in (here, *here.parents) if (folder / "common" / "training").exists()), None)
if checkout is None:  # as on Colab: fetch the code and install what is missing; the TensorFlow that is there stays
    checkout = here / "eager-examples"
    if not checkout.exists():
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", REPOSITORY, checkout], check=True)
    subprocess.run([sys.executable, "-m", "tools.install_missing"], cwd=checkout, check=True)
os.chdir(checkout)  # so that runs/ is the same folder as for the command line
sys.path.insert(0, str(checkout))

from common.app.cli import import_tensorflow_quietly

import_tensorflow_quietly()"""


def examples_with_notebook() -> list[str]:
    """Return the names of the examples that say what their notebook is made of."""
    return sorted(path.parent.name for path in ROOT.glob("examples/*/notebook.py"))


def notebook_path(example: str) -> Path:
    """Return where the notebook of an example stands."""
    return ROOT / "examples" / example / f"{example}.ipynb"


def badge(example: str) -> str:
    """Return the Markdown of the badge that opens the notebook on Colab."""
    colab = "https://colab.research.google.com"
    address = REPOSITORY.removeprefix("https://github.com/")
    path = notebook_path(example).relative_to(ROOT).as_posix()
    return f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({colab}/github/{address}/blob/main/{path})"


def with_badge(readme: str, example: str) -> str:
    """Return the text of an example's README with the badge of its notebook, below the title if it had none."""
    title, *lines = [line for line in readme.split("\n") if not line.startswith("[![Open in Colab](")]
    while lines and not lines[0]:
        del lines[0]
    return "\n".join([title, "", badge(example), "", *lines])


def with_addresses(readme: str) -> str:
    """Return the text of the README at the top with the badges of all notebooks and the repository's address."""
    for example in examples_with_notebook():
        readme = re.sub(rf"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*/{example}\.ipynb\)", badge(example), readme)
    return re.sub(r"(?<=git clone )\S+", REPOSITORY, readme)


def compose(example: str) -> NotebookNode:
    """Return the notebook of an example, without outputs.

    Raises:
        ValueError: its modules cannot live in one namespace; the message names what clashes.
    """
    title, *rest = read_cells(example, "notebook")
    composer = _Composer(example, mentioned={module for cell in rest for module in _included_by(cell, example)})
    body = [part for cell in rest for part in composer.expand(cell)]
    set_up = [
        new_markdown_cell(SET_UP_TEXT, id="set-up"),
        new_code_cell(SET_UP, id="set-up-code"),
        new_code_cell(composer.namespace.imports(), id="imports"),
    ]
    [title] = composer.expand(title)
    title.source += f"\n\n{badge(example)}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"accelerator": "GPU", "kernelspec": kernel, "language_info": {"name": "python"}}
    return new_notebook(cells=[title, *set_up, *body], metadata=metadata)


def read_cells(example: str, module: str) -> list[NotebookNode]:
    """Return the cells of a module, with ids that stay as they are when another module changes."""
    text = (ROOT / "examples" / example / f"{module}.py").read_text(encoding="utf-8")
    cells = jupytext.reads(text, fmt="py:percent").cells
    for number, cell in enumerate(cells):
        cell.id = f"{module}-{number}".replace("_", "-")
    return cells


class _Composer:
    """Remembers what the notebook has so far: which modules, and what each name in it stands for."""

    def __init__(self, example: str, mentioned: set[str]):
        self.example, self.mentioned = example, mentioned
        self.later = {*mentioned}
        self.included: set[str] = set()
        self.namespace = Namespace()

    def expand(self, cell: NotebookNode) -> Iterator[NotebookNode]:
        """Yield what stands in the notebook for a cell of notebook.py."""
        included = _included_by(cell, self.example)
        yield from self._finish(cell, "notebook", folded=False)  # of a cell that includes nothing is left
        self.later -= {*included}
        for module in included:
            yield from self._include(module)

    def _include(self, module: str) -> Iterator[NotebookNode]:
        """Yield the cells of a module, after those of modules that it needs and that are not mentioned later."""
        if module in self.included:
            return
        self.included.add(module)
        cells = read_cells(self.example, module)
        for needed in _siblings(cells, self.example):
            if needed not in self.later:
                yield from self._include(needed)
        folded = module not in self.mentioned or len(cells) == 1
        if len(cells) == 1:  # not written in cells
            summary = ast.get_docstring(ast.parse(cells[0].source)).splitlines()[0]
            yield new_markdown_cell(f"`{module}.py`, folded: {summary}", id=f"{cells[0].id}-text")
        for cell in cells:
            if cell.cell_type == "markdown":
                cell.source = re.sub(r"^#", "##", cell.source, flags=re.MULTILINE)  # below the notebook's own headings
                cell.source = re.sub(r"\[(\w+\.py)\]\(\1\)", r"`\1`", cell.source)  # its neighbours are in the notebook
            if "module" not in _tags(cell):
                yield from self._finish(cell, module, folded)

    def _finish(self, cell: NotebookNode, module: str, folded: bool) -> Iterator[NotebookNode]:
        """Yield a cell without imports and module docstring, if anything is left of it."""
        cell.metadata = FOLDED if folded and cell.cell_type == "code" else {}
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", cell.source)
        if cell.cell_type == "code":
            parts = split_source(cell.source)
            self.namespace.add(module, parts, package=f"examples.{self.example}")
            cell.source = parts.rest
        if cell.source:
            yield cell


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _siblings(cells: list[NotebookNode], example: str) -> list[str]:
    """Return the modules of the example that these cells import from, each once."""
    nodes = [node for cell in cells if cell.cell_type == "code" for node in split_source(cell.source).imports]
    origins = [getattr(node, "module", "") for node in nodes]
    package = f"examples.{example}."
    return list(dict.fromkeys(origin.removeprefix(package) for origin in origins if origin.startswith(package)))


def _included_by(cell: NotebookNode, example: str) -> list[str]:
    return _siblings([cell], example) if "include" in _tags(cell) else []


def main() -> None:
    """Write the notebooks, and badges and addresses into the READMEs."""
    for example in examples_with_notebook():
        path = notebook_path(example)
        path.write_text(nbformat.writes(compose(example)) + "\n", encoding="utf-8")
        readme = path.with_name("README.md")
        readme.write_text(with_badge(readme.read_text(encoding="utf-8"), example), encoding="utf-8")
        print(path.relative_to(ROOT))
    readme = ROOT / "README.md"
    readme.write_text(with_addresses(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
