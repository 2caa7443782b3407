"""The progress of training, on stderr: a bar over the whole run, and a line for every epoch."""

import sys

from tqdm.auto import tqdm

from common.io.terminal import echo, one_line, warn

IS_INTERACTIVE = sys.stderr.isatty() or "ipykernel" in sys.modules  # a terminal or a notebook, not a log file


class _Lines:
    """Writes each state of a bar to stderr as a line, where there is no terminal to draw over the one before."""

    def write(self, text: str) -> None:
        if state := text.strip():
            warn(state)

    def flush(self) -> None:
        sys.stderr.flush()


class ProgressBar:
    """A bar with an ETA; in log files a line at most every 15 s."""

    def __init__(self, epochs: int, total_steps: int, first_step: int, is_shown: bool = True):
        """Show the bar of a run that is at `first_step` of `total_steps`; `with self.bar` removes it at the end."""
        self.epochs, self._first_step = epochs, first_step
        self.bar = tqdm(
            total=total_steps,
            initial=first_step,
            unit="step",
            mininterval=0.2 if IS_INTERACTIVE else 15,
            miniters=1,
            delay=0 if IS_INTERACTIVE else 15,
            file=None if IS_INTERACTIVE else _Lines(),
            dynamic_ncols=IS_INTERACTIVE,
            leave=False,
            disable=not is_shown,
        )

    def start_epoch(self, epoch: int, phase: str = "") -> None:
        """Name the epoch, counted from 0, and the phase of it that starts, such as "validation"."""
        self.bar.set_description(f"epoch {epoch + 1}/{self.epochs} {phase}".rstrip(), refresh=IS_INTERACTIVE)

    def advance(self, steps: int, logs: dict[str, float]) -> None:
        """Move on by `steps`, and show the results of the last one."""
        self.bar.set_postfix({name: f"{value:.3f}" for name, value in logs.items()}, refresh=False)
        if self.bar.n > self._first_step or self.bar.disable:
            self.bar.update(steps)
            return
        # The first steps include the compilation, which is no guide to how long the others take.
        self.bar.n = self.bar.initial = self.bar.last_print_n = self._first_step + steps
        self.bar.unpause()
        if IS_INTERACTIVE:
            self.bar.refresh()

    def end_epoch(self, row: dict[str, float], is_best: bool) -> None:
        """Print the metrics of an epoch, a row of metrics.csv."""
        metrics = [f"{name} {row[name]:.4f}" for name in row if name not in ("epoch", "step", "seconds")]
        head = f"epoch {row['epoch']}/{self.epochs}  step {row['step']}  {row['seconds']:.0f} s"
        line = "  ".join([head, *metrics, *["best"] * is_best])
        if IS_INTERACTIVE:
            self.bar.write(one_line(line))  # above the bar
        else:
            echo(line)
