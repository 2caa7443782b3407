import re
import subprocess
from importlib import import_module

import nbformat
import pytest
from nbclient import NotebookClient

from examples.__main__ import example_names
from tools import notebooks

EXAMPLES = notebooks.examples_with_notebook()


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """The checkout as it stands, uncommitted changes included, as a git repository that can be cloned."""
    remote = tmp_path_factory.mktemp("published")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"],
        cwd=notebooks.ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listing.split("\0")):
        (remote / name).parent.mkdir(parents=True, exist_ok=True)
        (remote / name).write_bytes((notebooks.ROOT / name).read_bytes())
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for arguments in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "--message", "all"]):
        subprocess.run(["git", *arguments], cwd=remote, check=True)
    return remote


@pytest.fixture
def instead_of_github(published, monkeypatch):
    """Let git find the repository's address on this machine, and nothing else anywhere."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.file://{published}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", notebooks.REPOSITORY)


@pytest.fixture
def own_caches(tmp_path, monkeypatch):
    (tmp_path / "caches").mkdir()
    for name in ("IPYTHONDIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "caches" / name))


def execute(notebook, folder):
    """Run a notebook from a clean kernel; return its outputs. An error in a cell fails the test with its traceback."""
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def read(example):
    return nbformat.read(notebooks.notebook_path(example), as_version=4)


def shorten(notebook, settings):
    """Change the settings where a reader would."""
    [cell] = [cell for cell in notebook.cells if "fresh=True)  #" in cell.source]
    cell.source = cell.source.replace("fresh=True)", f"fresh=True, **{settings!r})")


def test_every_example_has_a_notebook():
    assert example_names() == EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_notebook_and_badge_are_what_the_modules_make_them(example):
    path = notebooks.notebook_path(example)
    hint = "run `make notebooks` and commit what it changes"
    assert path.read_text(encoding="utf-8") == nbformat.writes(notebooks.compose(example)) + "\n", hint
    readme = path.with_name("README.md").read_text(encoding="utf-8")
    assert readme == notebooks.with_badge(readme, example), hint


def test_the_readme_at_the_top_has_all_badges_and_the_address():
    readme = (notebooks.ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == notebooks.with_addresses(readme), "run `make notebooks` and commit what it changes"
    assert all(notebooks.badge(example) in readme for example in EXAMPLES)
    assert f"git clone {notebooks.REPOSITORY}\n" in readme


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_is_committed_is_valid_and_was_not_executed(example):
    notebook = read(example)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert not any("from examples." in cell.source for cell in code)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "[arXiv:" in text and not re.search(r"(?<!\[)arXiv:", text)  # papers are linked


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_runs_anywhere_and_shows_its_pictures(example, tmp_path, instead_of_github, own_caches):
    notebook = read(example)
    shorten(notebook, import_module(f"tests.{example}.tiny").SETTINGS)
    shows = sum(cell.source.count("display(") for cell in notebook.cells if cell.id.startswith("notebook-"))
    (tmp_path / "elsewhere").mkdir()
    outputs = execute(notebook, tmp_path / "elsewhere")
    pictures = [output for output in outputs if {"image/png", "image/gif"} & output.get("data", {}).keys()]
    assert not any(output.output_type == "error" for output in outputs)
    assert len(pictures) >= shows >= 3
    assert (tmp_path / "elsewhere" / "eager-examples" / "runs").is_dir()


@pytest.mark.parametrize("example", EXAMPLES)
def test_in_a_checkout_it_fetches_nothing(example, published, own_caches):
    notebook = read(example)
    imports = next(number for number, cell in enumerate(notebook.cells) if cell.id == "imports")
    notebook.cells = [
        *notebook.cells[: imports + 1],
        nbformat.v4.new_code_cell("import common; print(common.__file__)"),
    ]
    outputs = execute(notebook, published / "examples" / example)
    assert outputs[-1].text.strip() == str(published / "common" / "__init__.py")
    assert not (published / "examples" / example / "eager-examples").exists()
