"""Compose the notebook of every example from its lesson: python -m tools.notebooks [--run].

A lesson, `examples/NAME/notebook.py`, is written in percent format. Most of its cells are copied as they are. A cell
tagged "source" imports names from modules of the example or of `common`; in the notebook the definitions of these names
take its place, with the markdown cells that stand above them in their module. So the model, the loss and the training
step stand in the notebook in full, and the reader may edit and run them again.

Definitions are copied with two changes: of a docstring only the first line is kept, and a class of more than
`MAX_LINES` lines is continued in further cells, with `@method_of(Class)` above its methods.

Outputs are kept if no cell of code changed; otherwise all are dropped. `--run` runs the notebooks and stores what they
print and draw.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import jupytext
import nbformat
import tyro
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parent.parent
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
MAX_LINES = 25
"""Lines of code in a cell, blank lines not counted."""
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}  # the first for Colab, the second for Jupyter
SET_UP_TEXT = """\
## Set up

Run the cells from top to bottom: *Runtime*, *Run all*, or Shift+Enter cell by cell. The next cell, folded, makes the
code available. On Colab it fetches the repository and installs missing packages; in a checkout it only finds the code.
For a GPU choose *Runtime*, *Change runtime type* first."""
SET_UP = f"""\
# @title Fetch the code and install missing packages
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = "{REPOSITORY}"

here = Path.cwd()
checkout = next((folder for folder in (here, *here.parents) if (folder / "common" / "training").exists()), None)
if checkout is None:  # as on Colab, whose TensorFlow is kept
    checkout = here / "eager-examples"
    if not checkout.exists():
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", REPOSITORY, checkout], check=True)
    subprocess.run([sys.executable, "-m", "tools.install_missing"], cwd=checkout, check=True)
os.chdir(checkout)  # so that runs/ is the same folder as for the command line
sys.path.insert(0, str(checkout))

from common.app.start import start_tensorflow

start_tensorflow()"""


def examples_with_notebook() -> list[str]:
    """Return the names of the examples that have a lesson."""
    return sorted(path.parent.name for path in ROOT.glob("examples/*/notebook.py"))


def notebook_path(example: str) -> Path:
    """Return the path of the notebook of an example."""
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
        ValueError: a name that a "source" cell asks for is not defined in its module, or cannot be split into cells.
    """
    lesson = ROOT / "examples" / example / "notebook.py"
    title, *rest = jupytext.reads(lesson.read_text(encoding="utf-8"), fmt="py:percent").cells
    title.source += f"\n\n{badge(example)}"
    set_up = [new_markdown_cell(SET_UP_TEXT), new_code_cell(SET_UP, metadata=FOLDED)]
    cells = [title, *set_up, *(part for cell in rest for part in _expand(cell))]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"(?<!\[)arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", cell.source)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"accelerator": "GPU", "kernelspec": kernel, "language_info": {"name": "python"}}
    return new_notebook(cells=cells, metadata=metadata)


def _expand(cell: NotebookNode) -> Iterator[NotebookNode]:
    """Yield the cells of the notebook for a cell of the lesson."""
    tags = cell.metadata.get("tags", [])
    cell.metadata = FOLDED if "folded" in tags else {}
    if "source" not in tags:
        if cell.cell_type == "code":
            cell.source = _without_docstring(cell.source)
        if cell.source:
            yield cell
        return
    for node in ast.parse(cell.source).body:
        if isinstance(node, ast.ImportFrom):
            yield from source_cells(node.module, [alias.name for alias in node.names])


def source_cells(module: str, names: list[str]) -> Iterator[NotebookNode]:
    """Yield the definitions of `names` in `module`, each below the markdown that stands above it in the module.

    Markdown above the imports belongs to the first definition. The module's title is left out.

    Raises:
        ValueError: a name is not defined there.
    """
    text = Path(find_spec(module).origin).read_text(encoding="utf-8")
    above: list[NotebookNode] = []
    wanted = {*names}
    for part in jupytext.reads(text, fmt="py:percent").cells:
        if part.cell_type == "markdown":
            part.source = re.sub(r"^# .*\n*", "", part.source)
            part.source = re.sub(r"^#", "##", part.source, flags=re.MULTILINE)  # below the lesson's own headings
            above += [new_markdown_cell(part.source)] if part.source else []
            continue
        body = ast.parse(part.source).body
        found = [(name, node) for node in body for name in _names(node) if name in wanted]
        if found:
            yield from above
            for code in _joined(piece for _, node in found for piece in _pieces(part.source.splitlines(), node)):
                yield new_code_cell(code)
            wanted -= {name for name, _ in found}
        if any(map(_names, body)):
            above = []
    if wanted:
        raise ValueError(f"{module}: no definition of {', '.join(sorted(wanted))}")


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _joined(pieces: Iterator[str]) -> Iterator[str]:
    """Yield the pieces, as many in one cell as fit."""
    cell = ""
    for piece in pieces:
        if cell and count_lines(cell) + count_lines(piece) > MAX_LINES:
            yield cell
            cell = ""
        cell = f"{cell}\n\n\n{piece}" if cell else piece
    if cell:
        yield cell


def count_lines(code: str) -> int:
    """Return the number of lines that are not blank."""
    return sum(1 for line in code.splitlines() if line.strip())


def _pieces(lines: list[str], node: ast.stmt) -> Iterator[str]:
    """Yield a definition in pieces of at most `MAX_LINES` lines: a class, and the methods that find no place in it."""
    whole = _shortened(lines, node)
    if count_lines(whole) <= MAX_LINES or not isinstance(node, ast.ClassDef):
        yield whole
        return
    methods = [child for child in node.body if isinstance(child, ast.FunctionDef)]
    texts = {method.name: _shortened(lines, method) for method in methods}
    head = "\n".join(_shortened(lines, node, until=_start(methods[0])).splitlines())
    kept, rest = [head.rstrip()], []
    for method in methods:
        in_class = method.name == "__init__" or _calls_super(method)
        fits = count_lines("\n".join(kept)) + count_lines(texts[method.name]) <= MAX_LINES
        if in_class or (fits and not rest):
            kept.append(texts[method.name])
        else:
            rest.append(texts[method.name])
    yield "\n\n".join(kept)
    for text in rest:
        unindented = re.sub(r"^    ", "", text, flags=re.MULTILINE)
        yield f"@method_of({node.name})\n{unindented}"


def _calls_super(node: ast.AST) -> bool:
    return any(isinstance(child, ast.Name) and child.id == "super" for child in ast.walk(node))


def _start(node: ast.stmt) -> int:
    """Return the number of the first line, from 1, decorators included."""
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])


def _shortened(lines: list[str], node: ast.stmt, until: int | None = None) -> str:
    """Return the lines of `node`, up to line `until`, with the first line of each docstring only."""
    kept: list[str | None] = list(lines)
    for child in ast.walk(node):
        if not isinstance(child, ast.ClassDef | ast.FunctionDef) or ast.get_docstring(child) is None:
            continue
        docstring = child.body[0]
        indent = " " * docstring.col_offset
        kept[docstring.lineno - 1] = f'{indent}"""{ast.get_docstring(child).splitlines()[0]}"""'
        kept[docstring.lineno : docstring.end_lineno] = [None] * (docstring.end_lineno - docstring.lineno)
    end = node.end_lineno if until is None else until - 1
    return "\n".join(line for line in kept[_start(node) - 1 : end] if line is not None)


def _without_docstring(source: str) -> str:
    """Return the source of a cell without the docstring of the lesson's module."""
    body = ast.parse(source).body
    if not (body and isinstance(body[0], ast.Expr) and isinstance(getattr(body[0].value, "value", None), str)):
        return source
    return "\n".join(source.splitlines()[body[0].end_lineno :]).strip("\n")


def with_outputs(notebook: NotebookNode, before: NotebookNode) -> NotebookNode:
    """Return `notebook` with the outputs of `before`, cell by cell, if not a single cell of code changed."""
    code, old = ([cell for cell in book.cells if cell.cell_type == "code"] for book in (notebook, before))
    if [cell.source for cell in code] == [cell.source for cell in old]:
        for cell, same in zip(code, old, strict=True):
            cell.outputs, cell.execution_count = same.outputs, same.execution_count
    return notebook


def execute(notebook: NotebookNode, folder: Path, timeout: int = 600) -> NotebookNode:
    """Run a notebook in `folder` from a clean kernel and return it with its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    resources = {"metadata": {"path": str(folder)}}
    metadata = deepcopy(notebook.metadata)
    NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources=resources).execute()
    notebook.metadata = metadata  # without the version of this kernel
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of this run
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]  # progress bars
    return notebook


def main(run: bool = False, only: str | None = None) -> None:
    """Write the notebooks, and badges and addresses into the READMEs.

    Args:
        run: run the notebooks and store their outputs.
        only: the name of one example.
    """
    for example in [only] if only else examples_with_notebook():
        path = notebook_path(example)
        notebook = compose(example)
        if run:
            notebook = execute(notebook, ROOT)
        elif path.exists():
            notebook = with_outputs(notebook, nbformat.read(path, as_version=4))
        path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        readme = path.with_name("README.md")
        readme.write_text(with_badge(readme.read_text(encoding="utf-8"), example), encoding="utf-8")
        print(path.relative_to(ROOT))
    readme = ROOT / "README.md"
    readme.write_text(with_addresses(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    tyro.cli(main)
