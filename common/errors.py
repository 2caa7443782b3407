"""Exceptions that are not bugs: errors that the user can fix, and an orderly stop."""

import signal


class UserError(Exception):
    """An error that the user can fix; its one-line message says what, where, expected and got, and what to do next."""


class Interrupted(Exception):  # noqa: N818 (not an error: an orderly stop)
    """A signal stopped the work, and its state is saved."""

    def __init__(self, signum: int, where: str):
        super().__init__(f"{signal.Signals(signum).name}: {where}")
        self.signum = signum
