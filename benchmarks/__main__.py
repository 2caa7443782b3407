"""Run the benchmarks one after the other, each in a process of its own, and write RESULTS.md from what they saved.

python -m benchmarks                                         all that need no trained run
python -m benchmarks --only start_up generation              some anew, the others as they were saved
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import tyro

from benchmarks.measure import RESULTS, Table

PARTS = {  # name: whether it takes --data-dir
    "character_gru": False,
    "equal_losses": True,
    "generation": False,
    "translation_2018": True,
    "translating": True,
    "captioning_2018": False,
    "features": True,
    "dcgan_training": True,
    "pipeline": True,
    "scaling": False,
    "devices": False,
    "processors": True,
    "start_up": False,
}
PAGE = Path(__file__).parent / "RESULTS.md"
HEAD = """# Results

Written by `python -m benchmarks`, each table by one of its modules. Where ways are compared, they take turns,
most of them in one process. Compare rows of one table, not times of two: a machine is slower when others use it. Goals
are for 2 cores that nobody else uses; the load below each table shows what else ran.

"""


def write_page() -> None:
    """Write RESULTS.md from all tables saved, those of `benchmarks.learning_curves` last."""
    paths = [*(RESULTS / f"{part}.json" for part in PARTS), *sorted(RESULTS.glob("learning_curves_*.json"))]
    tables = [Table(**json.loads(path.read_text(encoding="utf-8"))) for path in paths if path.exists()]
    rows = [
        ("goal", "measured", "wanted", "reached"),
        ("---",) * 4,
        *(goal for table in tables for goal in table.goals),
    ]
    goals = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    PAGE.write_text("\n".join([f"{HEAD}{goals}\n", *(table.markdown() for table in tables)]), encoding="utf-8")
    print(f"written: {PAGE}")


def main(only: tuple[Literal[*PARTS], ...] = (), data_dir: Path | None = None) -> int:
    """Measure, write the page, and return how many parts failed.

    Args:
        only: names of parts to measure anew; all if none is named.
        data_dir: the download cache.
    """
    failed = 0
    for part, takes_data in PARTS.items():
        if only and part not in only:
            continue
        started = time.monotonic()
        flags = ["--data-dir", str(data_dir)] if takes_data and data_dir else []
        code = subprocess.run([sys.executable, "-m", f"benchmarks.{part}", *flags]).returncode
        failed += code != 0
        print(f"{part}: {'failed' if code else 'done'} in {time.monotonic() - started:.0f} s", file=sys.stderr)
    write_page()
    return failed


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
