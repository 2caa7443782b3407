"""Training of a tiny example on request, in a process of its own."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from importlib import import_module
from pathlib import Path

from common.errors import UserError
from common.training.run_directory import RunDirectory
from examples.serve.limits import Refused

_SECONDS_BETWEEN_REPORTS = 1.0


class TinyTraining:
    """Trains the tiny preset of one example at a time, on data that the code has."""

    def __init__(self, folder: Path):
        """Train into `folder`/EXAMPLE/tiny."""
        self.folder, self._lock = folder, asyncio.Lock()

    async def train(self, example: str) -> AsyncGenerator[str, None]:
        """Yield lines of progress until the run is trained and measured.

        A caller that leaves, which should close the generator, ends the process, which saves what it has; the next call
        resumes it, once the process has ended.

        Raises:
            Refused: another training is under way; or the training failed, and the log of the server says why.
        """
        if self._lock.locked():
            raise Refused("Another example is being trained; try again in a minute.", 429)
        async with self._lock:
            path = self.folder / example / "tiny"
            epochs = import_module(f"examples.{example}.config").PRESETS["tiny"].epochs
            train = _run(example, "train", "--preset", "tiny", "--run-dir", str(path))
            async with contextlib.aclosing(train) as seconds:
                async for _ in seconds:
                    yield f"Training: epoch {_finished_epochs(path)} of {epochs} finished."
            async with contextlib.aclosing(_run(example, "evaluate", "--run", str(path))) as seconds:
                async for _ in seconds:
                    yield "Measuring the trained model."


def _finished_epochs(path: Path) -> int:
    try:
        rows = RunDirectory(path).read_metrics()
    except UserError:
        return 0
    return int(rows[-1]["epoch"]) if rows else 0


async def _run(example: str, *arguments: str) -> AsyncGenerator[None, None]:
    """Yield once a second while a command of an example runs; end it if the caller leaves."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"examples.{example}", *arguments, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        while process.returncode is None:
            yield
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _SECONDS_BETWEEN_REPORTS)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode:
        raise Refused("The training failed; the server's log says why.")
