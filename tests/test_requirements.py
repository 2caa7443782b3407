from pathlib import Path

from tools.install_missing import read_requirements

ROOT = Path(__file__).parent.parent


def read(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return read_requirements("\n".join(line for line in lines if not line.startswith("-r ")))


def test_the_oldest_versions_are_the_lower_ends_of_all_ranges():
    ranges = {one.name: one.specifier for one in [*read("requirements.txt"), *read("requirements-dev.txt")]}
    oldest = {one.name: next(iter(one.specifier)).version for one in read("requirements-oldest.txt")}
    assert ranges.keys() == oldest.keys()
    for name, version in oldest.items():
        [least] = [bound.version for bound in ranges[name] if bound.operator == ">="]
        assert version == least or version.startswith(f"{least}."), f"{name}: {version}, not {least}"
