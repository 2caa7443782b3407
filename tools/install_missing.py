"""Install what is missing of requirements.txt and leave alone what is there: python -m tools.install_missing.

For machines that come with a TensorFlow of their own, fitted to their GPU, as on Colab. There `pip install -r` would
replace it, and half of what stands on it.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

KEPT = ("tensorflow", "keras", "matplotlib")
"""As they are, whatever their version. Colab's kernel has loaded matplotlib at its start, and an upgrade below it
breaks the next import; an older one draws Arabic and Indic letters unshaped."""
_REQUIREMENTS = Path(__file__).parent.parent / "requirements.txt"


def read_requirements(text: str) -> list[Requirement]:
    """Return the requirements of a requirements.txt, whose comments begin with #."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


def installed_versions() -> dict[str, str]:
    """Return version by canonical name; of a package that is there twice, the one that Python imports."""
    versions: dict[str, str] = {}
    for found in distributions():  # in the order of sys.path
        if found.name:  # none in what a failed uninstallation left
            versions.setdefault(canonicalize_name(found.name), found.version)
    return versions


def split_requirements(
    requirements: Sequence[Requirement], installed: Mapping[str, str]
) -> tuple[list[Requirement], list[Requirement]]:
    """Return which requirements are to be installed, and which are out of range but kept.

    Args:
        requirements: what is needed.
        installed: version by canonical name.
    """

    def fits(requirement: Requirement) -> bool:
        version = installed.get(canonicalize_name(requirement.name))
        return version is not None and requirement.specifier.contains(version, prereleases=True)

    unmet = [requirement for requirement in requirements if not fits(requirement)]
    kept = [requirement for requirement in unmet if requirement.name in KEPT and requirement.name in installed]
    return [requirement for requirement in unmet if requirement not in kept], kept


def main() -> int:
    """Install, and say what was done; return pip's exit code."""
    installed = installed_versions()
    wanted, kept = split_requirements(read_requirements(_REQUIREMENTS.read_text(encoding="utf-8")), installed)
    for requirement in kept:
        print(f"{requirement.name} {installed[requirement.name]} is kept; the examples are tested with {requirement}")
    if not wanted:
        return 0
    print(f"installing {', '.join(map(str, wanted))}", flush=True)
    replaced = {canonicalize_name(requirement.name) for requirement in wanted}
    with tempfile.TemporaryDirectory() as folder:
        as_they_are = Path(folder) / "constraints.txt"
        as_they_are.write_text("".join(f"{n}=={v}\n" for n, v in installed.items() if n not in replaced))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(as_they_are)]
        return subprocess.run([*command, *map(str, wanted)]).returncode


if __name__ == "__main__":
    sys.exit(main())
