import ast
import re
import subprocess
from importlib import import_module

import nbformat
import pytest

from examples.__main__ import example_names
from tests.nightly import some_nightly
from tools import notebooks, reading

EXAMPLES = notebooks.examples_with_notebook()
MOST_LINES = {"text_generation": 180, "dcgan": 160, "nmt_attention": 280, "image_captioning": 320}


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


def read(example):
    return nbformat.read(notebooks.notebook_path(example), as_version=4)


def shorten(notebook, settings):
    """Change the settings where a reader would."""
    [cell] = [cell for cell in notebook.cells if "fresh=True)  #" in cell.source]
    cell.source = cell.source.replace("fresh=True)", f"fresh=True, **{settings!r})")


def outputs_of(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def pictures_in(notebook):
    return [output for output in outputs_of(notebook) if {"image/png", "image/gif"} & output.get("data", {}).keys()]


def definitions(source):
    """Map each function, method and class to its code without docstrings and decorators of the lesson."""
    tree = ast.parse(source)
    found = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        node.decorator_list = [d for d in node.decorator_list if "method_of" not in ast.unparse(d)]
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found[node.name] = [*found.get(node.name, []), ast.unparse(node)]
    return found


def test_every_example_has_a_notebook():
    assert example_names() == EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_notebook_and_badge_are_what_the_modules_make_them(example):
    path = notebooks.notebook_path(example)
    hint = "run `make notebooks` and commit what it changes"
    composed = notebooks.with_outputs(notebooks.compose(example), read(example))
    assert path.read_text(encoding="utf-8") == nbformat.writes(composed) + "\n", hint
    readme = path.with_name("README.md").read_text(encoding="utf-8")
    assert readme == notebooks.with_badge(readme, example), hint


def test_the_readme_at_the_top_has_all_badges_and_the_address():
    readme = (notebooks.ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == notebooks.with_addresses(readme), "run `make notebooks` and commit what it changes"
    assert all(notebooks.badge(example) in readme for example in EXAMPLES)
    assert f"git clone {notebooks.REPOSITORY}\n" in readme


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_is_committed_was_run_and_shows_pictures(example):
    notebook = read(example)
    nbformat.validate(notebook)
    assert len(pictures_in(notebook)) >= 3, f"run `python -m tools.notebooks --run --only {example}`"
    assert not any(output.output_type == "error" for output in outputs_of(notebook))
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "[arXiv:" in text and not re.search(r"(?<!\[)arXiv:", text)  # papers are linked


@pytest.mark.parametrize(("example", "most"), MOST_LINES.items())
def test_a_lesson_can_be_read_in_one_sitting(example, most):
    counts = [notebooks.count_lines(cell) for cell in reading.visible_code(example)]
    assert sum(counts) <= most and max(counts) <= notebooks.MAX_LINES
    assert reading.lines_before_model(example) <= 60


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_exercise_begins_a_line_and_folds_its_result(example):
    [text] = [cell.source for cell in read(example).cells if cell.source.startswith("## Exercises")]
    numbers = [line.partition(".")[0] for line in text.split("\n") if re.match(r"\d+\. \*\*", line)]
    assert numbers[:3] == ["1", "2", "3"]
    assert text.count("\n   <details><summary>Result</summary>") == text.count("<details>") >= 3


@pytest.mark.parametrize("example", EXAMPLES)
def test_model_loss_and_step_are_those_of_the_module(example):
    sources = [path.read_text(encoding="utf-8") for path in (notebooks.ROOT / "examples" / example).glob("*.py")]
    module = definitions(
        "\n\n".join(source for source in sources if "keras.Model" in source or "keras.layers" in source)
    )
    lesson = definitions("\n\n".join(reading.visible_code(example)))
    assert {"train_step", "call"} <= lesson.keys()
    copied = [name for name in module if name in lesson]
    assert all(code in module[name] for name in ("train_step", "test_step") if name in lesson for code in lesson[name])
    assert len(copied) >= 4


@pytest.mark.parametrize("example", EXAMPLES)
def test_it_runs_anywhere_and_shows_its_pictures(example, tmp_path, instead_of_github, own_caches):
    notebook = read(example)
    shorten(notebook, import_module(f"tests.{example}.tiny").SETTINGS)
    (tmp_path / "elsewhere").mkdir()
    notebooks.execute(notebook, tmp_path / "elsewhere", timeout=300)
    assert len(pictures_in(notebook)) == len(pictures_in(read(example)))
    assert (tmp_path / "elsewhere" / "eager-examples" / "runs").is_dir()


@pytest.mark.parametrize("example", some_nightly(EXAMPLES, *EXAMPLES[1:]))
def test_in_a_checkout_it_fetches_nothing(example, published, own_caches):
    notebook = read(example)
    set_up = next(number for number, cell in enumerate(notebook.cells) if cell.source == notebooks.SET_UP)
    notebook.cells = [
        *notebook.cells[: set_up + 1],
        nbformat.v4.new_code_cell("import common; print(common.__file__)"),
    ]
    notebooks.execute(notebook, published / "examples" / example)
    assert outputs_of(notebook)[-1].text.strip() == str(published / "common" / "__init__.py")
    assert not (published / "examples" / example / "eager-examples").exists()
