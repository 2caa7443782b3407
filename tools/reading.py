"""Count what a reader has to read: python -m tools.reading.

For each example: the visible code lines of its notebook, its longest cell, the lines before the first model, and the
lines of the files that hold the model. At the end, the lines of common/ and examples/ together. Blank lines count in
files but not in notebooks.
"""

from pathlib import Path

import nbformat

from tools.notebooks import ROOT, count_lines, examples_with_notebook, notebook_path

MODEL_FILES = {
    "text_generation": ("model.py",),
    "dcgan": ("model.py",),
    "nmt_attention": ("model.py", "attention.py"),
    "image_captioning": ("model.py", "attention.py", "feature_grids.py"),
}


def visible_code(example: str) -> list[str]:
    """Return the sources of the code cells of a notebook that are not folded."""
    cells = nbformat.read(notebook_path(example), as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code" and cell.metadata.get("cellView") != "form"]


def lines_before_model(example: str) -> int:
    """Return the number of visible code lines before the first class that derives from keras.Model or a layer."""
    lines = [line for cell in visible_code(example) for line in cell.splitlines() if line.strip()]
    markers = ("(keras.Model)", "(keras.layers.Layer)")
    return next((number for number, line in enumerate(lines) if any(m in line for m in markers)), len(lines))


def count_file_lines(paths: list[Path]) -> int:
    """Return the number of lines of these files."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def main() -> None:
    """Print the counts."""
    print(f"{'':<18}{'notebook':>10}{'longest cell':>14}{'before model':>14}{'model files':>13}")
    for example in examples_with_notebook():
        code = [count_lines(cell) for cell in visible_code(example)]
        model = count_file_lines([ROOT / "examples" / example / name for name in MODEL_FILES[example]])
        print(f"{example:<18}{sum(code):>10}{max(code):>14}{lines_before_model(example):>14}{model:>13}")
    sources = [path for folder in ("common", "examples") for path in (ROOT / folder).rglob("*.py")]
    print(f"common/ and examples/: {count_file_lines(sources):,} lines of Python")


if __name__ == "__main__":
    main()
