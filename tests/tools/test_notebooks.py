import ast

import pytest

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
    [code] = cells("Net")
    assert '"""A net."""' in code and "Further" not in code and "Args" not in code
    assert "return x  # B T" in code and "helper" not in code


def test_definitions_of_one_cell_share_one_as_far_as_they_fit(cells, monkeypatch):
    assert len(cells("State", "helper")) == 1
    monkeypatch.setattr(notebooks, "MAX_LINES", 3)
    assert cells("State", "helper") == ["State = list[int]", 'def helper(x):\n    """Return x."""\n    return x']


def test_a_long_class_goes_on_in_further_cells(cells, monkeypatch):
    monkeypatch.setattr(notebooks, "MAX_LINES", 6)
    first, *rest = cells("Net")
    assert [line.split("(")[0] for line in first.splitlines() if "def" in line] == ["    def __init__"]
    assert "@method_of(Net)\ndef call(self, x):" in rest[0] and "@method_of(Net)\n@property\ndef size" in rest[1]
    assert all(ast.parse(cell) for cell in (first, *rest))


def test_markdown_above_a_definition_comes_along(tmp_path, monkeypatch):
    (tmp_path / "toy_prose_of_lesson.py").write_text("# %% [markdown]\n# # Title\n\n# %%\nx = 1\n\n# %%\ny = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = [*notebooks.source_cells("toy_prose_of_lesson", ["x", "y"])]
    assert [cell.cell_type for cell in found] == ["markdown", "code", "code"]
    assert found[0].source == "## Title"


def test_a_name_that_is_not_defined_is_refused(cells):
    with pytest.raises(ValueError, match="no definition of other"):
        cells("Net", "other")
