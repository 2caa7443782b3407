import ast

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import notebooks

MODULE = '''# %% [markdown]
# # The model
#
# Its equation.

# %%
"""What the module is."""

import math

# %%
State = list[int]
"""Of each layer."""


class Net:
    """A net.

    Further words.
    """

    def __init__(self):
        """Lay out the layers.

        Args: none.
        """
        super().__init__()

    def call(self, x):
        """Return x."""

        return x  # B T

    @property
    def size(self):
        """Return the size."""
        return 1

    def build(self, shape):
        """Build."""
        super().build(shape)


def helper(x):
    """Return x."""
    return x
'''


@pytest.fixture
def cells(tmp_path, monkeypatch):
    (tmp_path / "toy_module_of_lesson.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda *names: [cell.source for cell in notebooks.source_cells("toy_module_of_lesson", [*names])]


def test_a_definition_comes_with_the_first_line_of_its_docstrings(cells):
    _, code = cells("Net")
    assert '"""A net."""' in code and "Further" not in code and "Args" not in code
    assert "return x  # B T" in code and "helper" not in code


def test_definitions_of_one_cell_share_one_as_far_as_they_fit(cells, monkeypatch):
    assert len(cells("State", "helper")) == 2  # the markdown and one cell of code
    monkeypatch.setattr(notebooks, "MAX_LINES", 3)
    assert cells("State", "helper")[1:] == ["State = list[int]", 'def helper(x):\n    """Return x."""\n    return x']


def test_a_long_class_goes_on_in_further_cells(cells, monkeypatch):
    monkeypatch.setattr(notebooks, "MAX_LINES", 7)
    _, first, *rest = cells("Net")  # `super()` works only in a class
    assert [line.split("(")[0].strip() for line in first.splitlines() if "def" in line] == ["def __init__", "def build"]
    assert "@method_of(Net)\ndef call(self, x):" in rest[0] and "@method_of(Net)\n@property\ndef size" in rest[1]
    assert all(ast.parse(cell) for cell in (first, *rest))


def test_markdown_above_a_definition_comes_along(tmp_path, monkeypatch):
    head = "# %% [markdown]\n# # Title\n#\n# Why.\n\n# %%\nimport a\n\n"
    prose = f"{head}# %% [markdown]\n# ## Part\n\n# %%\nx = 1\n\n# %%\ny = 2\n"
    (tmp_path / "toy_prose_of_lesson.py").write_text(prose)
    monkeypatch.syspath_prepend(tmp_path)
    found = [*notebooks.source_cells("toy_prose_of_lesson", ["x", "y"])]
    assert [cell.source for cell in found] == ["Why.", "### Part", "x = 1", "y = 2"]  # that above the imports too
    assert [cell.cell_type for cell in found] == ["markdown", "markdown", "code", "code"]


def test_a_name_that_is_not_defined_is_refused(cells):
    with pytest.raises(ValueError, match="no definition of other"):
        cells("Net", "other")


def test_lines_of_code_are_those_that_are_not_blank():
    assert notebooks.count_lines("x = 1\n\n\ny = 2\n") == 2


@pytest.mark.parametrize(("code", "kept"), [("x = 1", True), ("x = 2", False)])
def test_outputs_are_kept_if_no_code_changed(code, kept):
    output = new_output("stream", text="1")
    before = new_notebook(cells=[new_code_cell("x = 1", outputs=[output], execution_count=3)])
    notebook = new_notebook(cells=[new_markdown_cell("New."), new_code_cell(code)])
    cell = notebooks.with_outputs(notebook, before).cells[1]
    assert (cell.outputs, cell.execution_count) == (([output], 3) if kept else ([], None))


def test_a_badge_replaces_an_older_one_below_the_title():
    badge = notebooks.badge("dcgan")
    for readme in ("# Title\n\n\n\nText", "# Title\n\n[![Open in Colab](a)](b)\n\nText"):
        assert notebooks.with_badge(readme, "dcgan") == f"# Title\n\n{badge}\n\nText"


LESSON = """# %% [markdown]
# # Title

# %%
\"\"\"What the lesson is.\"\"\"

x = 1

# %% tags=["folded"]
y = 2

# %% [markdown]
# See arXiv:1234.56789 and [arXiv:1234.56789](x).
"""


def test_a_lesson_becomes_a_notebook(tmp_path, monkeypatch):
    folder = tmp_path / "examples" / "toy"
    folder.mkdir(parents=True)
    (folder / "notebook.py").write_text(LESSON)
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    notebook = notebooks.compose("toy")
    nbformat.validate(notebook)
    title, _, _, first, folded, prose = notebook.cells
    assert title.source.startswith("# Title") and "toy.ipynb" in title.source
    assert (first.source, first.metadata) == ("x = 1", {})
    assert (folded.source, folded.metadata) == ("y = 2", notebooks.FOLDED)
    assert prose.source == "See [arXiv:1234.56789](https://arxiv.org/abs/1234.56789) and [arXiv:1234.56789](x)."
