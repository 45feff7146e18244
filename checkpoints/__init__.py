"""Checkpoints: learner, encoders, metrics and position as one immutable, content-addressed package."""

from collections.abc import Mapping
from pathlib import Path

from checkpoints.checkpoint import Registry
from checkpoints.directory import DirectoryStore
from checkpoints.errors import CheckpointError
from checkpoints.object_store import ObjectStore


def open_store(url: str, options: Mapping[str, str | int | float | bool] | None = None) -> Registry:
    """The store at `url`: a path, `file:PATH`, or an object store such as s3://bucket/models, which takes `options`.

    Raises CheckpointError for a scheme that no store has.
    """
    folder = folder_of(url)
    if folder is None:
        return ObjectStore(url, options)
    if url.startswith("file:"):
        return DirectoryStore(folder)
    scheme, colon, _ = url.partition(":")
    if colon and "/" not in scheme:
        raise CheckpointError(f"checkpoints.url {url!r}: expected a path, file:PATH, or a URL such as s3://bucket/path")
    return DirectoryStore(folder)


def folder_of(url: str) -> Path | None:
    """The folder of a store on this machine, None of an object store.

    >>> folder_of("data/checkpoints"), folder_of("file:/srv"), folder_of("s3://bucket/models")
    (PosixPath('data/checkpoints'), PosixPath('/srv'), None)
    """
    if url.startswith("file:"):
        return Path(url.removeprefix("file:"))
    return None if "://" in url else Path(url)
