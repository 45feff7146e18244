"""Checkpoints: learner, encoders, metrics and position as one immutable, content-addressed package."""

from collections.abc import Callable

from checkpoints.checkpoint import CheckpointStore
from checkpoints.directory import DirectoryStore
from checkpoints.errors import CheckpointError

STORES: dict[str, Callable[[str], CheckpointStore]] = {"file": DirectoryStore}
"""Which store a URL's scheme names; a URL without one is a directory."""


def open_store(url: str) -> CheckpointStore:
    """The store at `url`: a path, or `file:PATH`. Raises CheckpointError for a scheme that no store has."""
    scheme, colon, rest = url.partition(":")
    if not colon or "/" in scheme:
        return DirectoryStore(url)
    if scheme not in STORES:
        raise CheckpointError(f"checkpoints.url {url!r}: expected a path or one of {', '.join(sorted(STORES))}:")
    return STORES[scheme](rest)
