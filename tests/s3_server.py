"""An S3 server of our own on a loopback port, for as long as the tests of one process run."""

import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import fsspec
import pytest

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1"}
RUNNING = re.compile(r"Running on (http://127\.0\.0\.1:\d+)\s")


class Bucket(NamedTuple):
    """A new bucket, and how to reach it."""

    url: str
    options: dict[str, str | int | float | bool]


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server; credentials are in the environment, as users have them."""
    os.environ.update(ENVIRONMENT)
    said = tmp_path_factory.mktemp("s3") / "stderr"
    command = [sys.executable, str(Path(__file__).with_name("s3_process.py"))]
    with said.open("wb") as log, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log) as server:
        try:
            yield _started(said, server)
        finally:
            server.kill()


@pytest.fixture
def s3(s3_endpoint: str) -> Bucket:
    """An empty bucket."""
    name = f"bucket-{uuid.uuid4().hex}"
    options: dict[str, str | int | float | bool] = {"endpoint_url": s3_endpoint}
    fsspec.filesystem("s3", **options).mkdir(name)
    return Bucket(f"s3://{name}/models", options)


def _started(said: Path, server: "subprocess.Popen[bytes]") -> str:
    """The address that it says itself, once it answers there."""
    deadline = time.monotonic() + 240.0
    while time.monotonic() < deadline:
        assert server.poll() is None, f"the S3 server has ended: {said.read_text()}"
        if (found := RUNNING.search(said.read_text())) is not None:
            return found[1]
        time.sleep(0.05)
    raise AssertionError("the S3 server does not begin")
