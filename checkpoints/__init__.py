"""Checkpoints: learner, encoders, metrics and position as one immutable, content-addressed package."""

from collections.abc import Mapping

from checkpoints.checkpoint import Registry
from checkpoints.directory import DirectoryStore
from checkpoints.errors import CheckpointError
from checkpoints.object_store import ObjectStore


def open_store(url: str, options: Mapping[str, str | int | float | bool] | None = None) -> Registry:
    """The store at `url`: a path, `file:PATH`, or an object store such as s3://bucket/models, which takes `options`.

    Raises CheckpointError for a scheme that no store has.
    """
    if url.startswith("file:"):
        return DirectoryStore(url.removeprefix("file:"))
    if "://" in url:
        return ObjectStore(url, options)
    scheme, colon, _ = url.partition(":")
    if colon and "/" not in scheme:
        raise CheckpointError(f"checkpoints.url {url!r}: expected a path, file:PATH, or a URL such as s3://bucket/path")
    return DirectoryStore(url)
