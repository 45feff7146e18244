"""An S3 server of our own on a loopback port, for as long as the tests of one process run."""

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import NamedTuple

import fsspec
import pytest

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1"}


class Bucket(NamedTuple):
    """A new bucket, and how to reach it."""

    url: str
    options: dict[str, str | int | float | bool]


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The server; credentials are in the environment, as users have them."""
    os.environ.update(ENVIRONMENT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


@pytest.fixture
def s3(s3_endpoint: str) -> Bucket:
    """An empty bucket."""
    name = f"bucket-{uuid.uuid4().hex}"
    options: dict[str, str | int | float | bool] = {"endpoint_url": s3_endpoint}
    fsspec.filesystem("s3", **options).mkdir(name)
    return Bucket(f"s3://{name}/models", options)


def _wait(port: int, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120.0
    while time.monotonic() < deadline:
        assert server.poll() is None, "the S3 server has ended"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the S3 server does not answer")
