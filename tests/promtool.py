"""Prometheus' own tool, where it is on the machine."""

import shutil

import pytest


def promtool() -> str:
    """Its path; the test is skipped without it."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not on this machine: install the package prometheus")
    return found
