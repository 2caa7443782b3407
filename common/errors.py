"""The exceptions that are no bug: what the user can mend, and an orderly stop."""

import signal


class UserError(Exception):
    """A failure the user can mend; its text is the one line they see: what, where, expected and got, what to do."""


class Interrupted(Exception):  # noqa: N818 (no failure: an orderly stop)
    """Work was told to stop by a signal, and has saved where it stood."""

    def __init__(self, signum: int, where: str):
        """Remember the signal's number and the message that says where the work stands."""
        super().__init__(f"{signal.Signals(signum).name}: {where}")
        self.signum = signum
