import pytest

from tools.namespace import Namespace, split_source

SOURCE = '''"""What the module is."""

import math
from collections.abc import (
    Sequence,
)

LIMIT = 3
"""The most
there are."""


def double(x):
    """Twice."""
    import json  # stays: it is not at the top

    return [y for y in (x, x)]


total = sum(number for number in range(LIMIT))
'''


def namespace_of(*pieces):
    namespace = Namespace()
    for module, source in pieces:
        namespace.add(module, split_source(source), package="examples.toy")
    return namespace


def test_imports_and_docstring_leave_and_the_rest_stays_as_it_is():
    rest = split_source(SOURCE).rest
    assert (
        rest
        == SOURCE[SOURCE.index("LIMIT") :].replace('"""The most\nthere are."""', "# The most\n# there are.").strip()
    )


def test_names_are_those_of_the_top_level():
    assert set(split_source(SOURCE).names) == {"LIMIT", "double", "total"}


def test_imports_are_merged_sorted_and_without_siblings():
    merged = namespace_of(
        ("data", "import os\nfrom common.data.text_files import b\nfrom examples.toy.model import Net"),
        ("model", "import ast\nfrom common.data.text_files import a, b"),
    ).imports()
    assert merged == "import ast\nimport os\n\nfrom common.data.text_files import a, b"


@pytest.mark.parametrize(
    "theirs", ["def load(): ...", "load = 2", "from common.io.files import load", "import files as load"]
)
def test_a_name_with_two_meanings_is_refused(theirs):
    with pytest.raises(ValueError, match="load: means one thing by data.py, another by"):
        namespace_of(("data", "def load(): ..."), ("model", theirs))


def test_a_name_defined_again_by_its_own_module_is_fine():
    namespace_of(("notebook", "x = 1"), ("notebook", "x = 2"))


@pytest.mark.parametrize("line", ["from examples.toy import model", "from examples.toy.model import a as b"])
def test_siblings_are_imported_by_their_names(line):
    with pytest.raises(ValueError, match="expected from examples.toy.MODULE import NAMES"):
        namespace_of(("data", line))
