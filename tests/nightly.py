"""Parameters of which some are left to the tests at night."""

import pytest


def some_nightly(values, *nightly):
    """Return `values`, those in `nightly` with the mark of this name."""
    return [pytest.param(value, marks=pytest.mark.nightly) if value in nightly else value for value in values]
