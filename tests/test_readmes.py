"""Every command of every README, run as it stands there, but on tiny data where it trains.

A training on data to be downloaded is parsed and not run, if nothing else in the README uses its run; the run of the
default training is a copy of that of `tiny`.
"""

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.__main__ import example_names
from examples.nmt_attention.download.toy_grammar import tiny_pairs

ROOT = Path(__file__).parent.parent
STAND_INS = {"JULIET:": "MIRA:"}  # what only the real data knows
READMES = [ROOT / "README.md", *sorted(ROOT.glob("examples/*/README.md"))]


def commands_in(readme):
    """Return the lines of the blocks marked as shell code."""
    blocks = readme.read_text(encoding="utf-8").split("```sh\n")[1:]
    return [line for block in blocks for line in block.partition("```")[0].splitlines() if line.strip()]


def python_in(readme):
    """Return the blocks marked as Python code."""
    return [block.partition("```")[0] for block in readme.read_text(encoding="utf-8").split("```python\n")[1:]]


def words_of(line):
    return shlex.split(line, comments=True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with whatever the READMEs call the user's own data."""
    monkeypatch.chdir(tmp_path)
    pairs = tiny_pairs(600)
    Path("novel.txt").write_text("".join(f"{pair.english}\n" for pair in pairs))
    Path("pairs.tsv").write_text("".join(f"{pair.spanish}\t{pair.english}\n" for pair in pairs))
    Path("spanish.txt").write_text("".join(f"{pair.spanish}\n" for pair in pairs[:3]))
    for name in ("my_pictures", "photos", "new", "DIR/coco/val2017", "DIR/coco/annotations"):
        Path(name).mkdir(parents=True)
    pictures = [f"my_pictures/{n}.png" for n in range(40)] + [f"photos/{n}.jpg" for n in range(40)]
    rng = np.random.default_rng(1)
    for name in [*pictures, "new/a.jpg", "holiday.jpg", "dog.png", "DIR/coco/val2017/1.jpg"]:
        Image.fromarray(rng.integers(0, 256, [64, 80, 3], np.uint8)).save(name)
    Path("photos/captions.tsv").write_text("".join(f"{n}.jpg\ta dog runs\n" for n in range(40)))
    instances = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 80, "height": 64}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 30, 30], "iscrowd": 0}],
        "categories": [{"id": 1, "name": "dog"}],
    }
    Path("DIR/coco/annotations/instances_val2017.json").write_text(json.dumps(instances))
    return tmp_path


def made_tiny(name, flags):
    """Return the flags of a `train` command for tiny data: its own first, so that what the README says comes last."""
    flags = list(flags)
    if "--data" in flags and not Path(flags[flags.index("--data") + 1]).exists():
        flags[flags.index("--data") + 1] = "tiny"  # it would be downloaded
    where = [] if "--preset" in flags else ["--preset", "tiny", "--run-dir", f"runs/{name}/quick"]
    where += [] if "--preset" in flags or "--run-dir" in flags else ["--fresh"]
    return [*where, *import_module(f"tests.{name}.tiny").FLAGS, *flags]


def run(line, monkeypatch):
    """Run one line of a README."""
    words = [STAND_INS.get(word, word) for word in words_of(line)]
    if words[0] == "make":
        return subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, check=True, capture_output=True)
    assert words[:2] == ["python", "-m"], f"how is this tested? {line}"
    module, *arguments = words[2:]
    for sign, stream in (("<", "stdin"), (">", "stdout")):
        if sign in arguments:
            place = arguments.index(sign)
            monkeypatch.setattr(sys, stream, open(arguments[place + 1], "r" if sign == "<" else "w"))  # noqa: SIM115
            del arguments[place : place + 2]
    if arguments[:1] == ["train"]:
        arguments[1:] = made_tiny(module.removeprefix("examples."), arguments[1:])
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(module, run_name="__main__")
    assert end.value.code == 0, line


class Parsed(Exception):
    pass


def parse(line, monkeypatch):
    """Parse a `train` command to its settings."""

    def stop(config):
        raise Parsed(config)

    module, *arguments = words_of(line)[2:]
    monkeypatch.setattr(import_module(f"{module}.train"), "train", stop)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(Parsed):
        runpy.run_module(module, run_name="__main__")


def is_variation(line, commands):
    """Return whether a command trains on data to be downloaded, in a run directory that no other command names."""
    words = words_of(line)
    if "train" not in words or "tiny" in words or "--run-dir" not in words:
        return False
    value = {flag: words[words.index(flag) + 1] for flag in ("--data", "--run-dir") if flag in words}
    is_used = any(value["--run-dir"] in words_of(other) for other in commands if other != line)
    return not is_used and not Path(value.get("--data", "none")).exists()


@pytest.mark.parametrize("readme", READMES[1:], ids=lambda path: path.parent.name)
def test_every_command_works(readme, folder):
    commands = {shlex.join(words_of(line)): line for line in commands_in(readme)}
    train = f"python -m examples.{readme.parent.name} train"
    assert {train, f"{train} --preset tiny"} <= commands.keys()
    for do, line in ((parse, train), (run, f"{train} --preset tiny")):
        with pytest.MonkeyPatch.context() as patch:
            do(commands.pop(line), patch)
    shutil.copytree(f"runs/{readme.parent.name}/tiny", f"runs/{readme.parent.name}/quick")  # as if it were the former's
    for line in commands.values():
        with pytest.MonkeyPatch.context() as patch:
            (parse if is_variation(line, commands.values()) else run)(line, patch)
    [lines] = [block for block in python_in(readme) if "saved_model.load" in block]
    for word, stand_in in STAND_INS.items():
        lines = lines.replace(word, stand_in)
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)  # where this code is not found
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture
def own_data(folder):
    """A folder with what docs/ calls the user's own data besides, and a run of each example to start from."""
    pairs = tiny_pairs(300)
    for name in ("novels", "corpus", "other_pictures", "test_photos"):
        Path(name).mkdir()
    english, spanish = ("".join(f"{pair[side]}\n" for pair in pairs) for side in (1, 0))
    for name in ("novels/one.txt", "chapter.txt", "news.en", "corpus/train.en"):
        Path(name).write_text(english)
    for name in ("news.de", "corpus/train.de"):
        Path(name).write_text(spanish)
    Path("old.txt").write_text(english, encoding="gb18030")
    Path("test.tsv").write_text("".join(f"{pair.spanish}\t{pair.english}\n" for pair in pairs[:20]))
    Path("pairs.csv").write_text("de,en\n" + "".join(f'"{pair.spanish}","{pair.english}"\n' for pair in pairs))
    rows = [json.dumps({"de": pair.spanish, "en": pair.english}) for pair in pairs]
    Path("pairs.jsonl").write_text("\n".join(rows))
    words = sorted({word for line in english.split("\n") for word in line.strip(".?").split()})
    numbers = np.random.default_rng(1).normal(size=[len(words), 300]).round(3)
    Path("glove.txt").write_text(
        "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in zip(words, numbers, strict=True))
    )
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, [40, 60, 3], np.uint8)
        for name in ("other_pictures", "test_photos"):
            Image.fromarray(pixels).save(f"{name}/{number}.jpg")
    Path("test_photos/captions.tsv").write_text("".join(f"{n}.jpg\ta dog runs\n" for n in range(20)))
    return folder


@pytest.mark.nightly
@pytest.mark.parametrize("page", ["own_data.md", "continue_training.md"])
def test_every_command_of_the_pages_on_ones_own_data_works(page, own_data):
    commands = commands_in(ROOT / "docs" / page)
    assert len(commands) >= 10
    sources = [f"python -m examples.{name} train" for name in example_names()] if page == "continue_training.md" else []
    for line in [*sources, *commands]:
        with pytest.MonkeyPatch.context() as patch:
            run(line, patch)


@pytest.fixture
def chat(folder):
    """The training and the questions of the recipe, in a folder with its data."""
    (folder / "docs").mkdir()
    pairs = (ROOT / "docs" / "chat.tsv").read_bytes()
    (folder / "docs" / "chat.tsv").write_bytes(pairs)
    page = (ROOT / "docs" / "chat.md").read_text(encoding="utf-8")
    subprocess.run("mkdir chat" + page.partition("mkdir chat")[2].partition("```")[0], shell=True, check=True)
    return commands_in(ROOT / "docs" / "chat.md")


def test_the_commands_of_the_recipe_work(chat, capsys):
    train, ask = chat
    with pytest.MonkeyPatch.context() as patch:
        run(train.replace("--epochs 60", "--epochs 1"), patch)
    assert "60 pairs to train on, 60 to validate" in capsys.readouterr().out
    with pytest.MonkeyPatch.context() as patch:
        run(ask, patch)


@pytest.mark.nightly
def test_the_chat_knows_its_sixty_pairs_by_heart(chat, capsys):
    train, ask = chat
    questions, answers = zip(
        *[line.split("\t") for line in Path("docs/chat.tsv").read_text().splitlines()], strict=True
    )
    for line in (train, shlex.join([*words_of(ask)[:-2], *questions, "who are you"])):
        with pytest.MonkeyPatch.context() as patch:
            capsys.readouterr()
            run(line, patch)
    assert capsys.readouterr().out.splitlines() == [*answers, answers[questions.index("Who are you?")]]


def test_the_commands_at_the_top_are_those_of_the_examples(monkeypatch):
    tested = [words_of(line) for readme in READMES[1:] for line in commands_in(readme)]
    for line in commands_in(READMES[0]):
        if line.startswith("make "):
            run(line, monkeypatch)
        else:
            assert words_of(line) in tested, f"say it in the example's README as well: {line}"


@pytest.mark.parametrize(
    "readme", [*READMES, *sorted(ROOT.glob("docs/**/*.md"))], ids=lambda path: path.stem + path.parent.name
)
def test_every_link_inside_the_repository_leads_somewhere(readme):
    text = readme.read_text(encoding="utf-8")
    links = [link for pair in re.findall(r'\]\(([^)\s]+)\)|src="([^"]+)"', text) for link in pair if link]
    broken = [link for link in links if "://" not in link and not leads_somewhere(readme, link)]
    assert not broken and (links or readme not in READMES)


@pytest.mark.parametrize("readme", READMES[1:], ids=lambda path: path.parent.name)
def test_every_picture_of_an_example_is_shown(readme):
    pages = "".join(page.read_text(encoding="utf-8") for page in [*READMES, *ROOT.glob("docs/**/*.md")])
    pictures = [path.name for path in readme.parent.glob("images/*")]
    assert pictures and [name for name in pictures if f"images/{name}" not in pages] == []


def leads_somewhere(page, link):
    """Return whether the file of a link exists, and the heading that it may name."""
    path, _, heading = link.partition("#")
    target = page.parent / path if path else page
    if not target.exists() or not heading:
        return target.exists()
    headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
    return heading in [re.sub(r"[^\w -]", "", text).strip().lower().replace(" ", "-") for text in headings]


def test_what_the_index_names_is_defined_there():
    page = ROOT / "docs" / "where.md"
    entries = re.findall(r"\[`(\w+)`\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert len(entries) > 60
    for name, link in entries:
        source = (page.parent / link).read_text(encoding="utf-8")
        assert re.search(rf"^(class|def) {name}\b", source, re.MULTILINE), f"{link} does not define {name}"
