"""What the code must not contain, because it runs what it should only read, or trusts the way there."""

import re
from pathlib import Path

import pytest

from tests.downloads import ROOT

FORBIDDEN = {
    "pickle": r"\bc?[Pp]ickle|\bdill\b|\bjoblib\b|\bshelve\b|\bmarshal\b",
    "allow_pickle": r"allow_pickle",
    "safe_mode off": r"safe_mode\s*=\s*False",
    "eval or exec": r"(?<![\w.])(eval|exec)\(",
    "models that bring code": r"\bload_model\(|enable_unsafe_deserialization",
    "extraction without checks": r"\bextractall\(|unpack_archive\(",
    "a download that is not verified": r"\bget_file\(|urlretrieve\(|urlopen\(",
    "certificates unchecked": r"verify\s*=\s*False|_create_unverified_context",
    "a shell": r"shell\s*=\s*True|os\.system\(",
    "YAML that makes objects": r"yaml\.(unsafe_)?load\(",
    "http": r"http://(?!127\.0\.0\.1|localhost|\{)",
}
SOURCES = (
    [
        path
        for folder in ("common", "examples", "tools", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".html", ".jinja", ".md", ".toml", ".txt", ".sh")
    ]
    + sorted(ROOT.glob("*.toml"))
    + sorted(ROOT.glob("*.md"))
    + sorted(ROOT.glob("requirements*.txt"))
    + [ROOT / "Makefile"]
)


def offences(what: str, path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if re.search(FORBIDDEN[what], line)]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_d08_nothing_that_runs_what_it_should_read(what):
    found = {str(path.relative_to(ROOT)): lines for path in SOURCES if (lines := offences(what, path))}
    assert not found


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("pickle", "import pickle"),
        ("allow_pickle", "np.load(path, allow_pickle=True)"),
        ("eval or exec", "x = eval(text)"),
        ("models that bring code", "keras.models.load_model(path)"),
        ("extraction without checks", "archive.extractall(folder)"),
        ("http", 'url = "http://example.com/data.zip"'),
    ],
)
def test_control_the_patterns_find_what_they_should(tmp_path, monkeypatch, what, line):
    (tmp_path / "bad.py").write_text(f"{line}\n")
    monkeypatch.setattr("tests.faults.test_forbidden.ROOT", tmp_path)
    assert offences(what, tmp_path / "bad.py") == [line]
