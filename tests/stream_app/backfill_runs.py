"""`weir train` as backfills run it: begun, killed, broken off and gone on with, for the tests of them."""

import json
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weir_process import WEIR, Weir, synthetic, wait_for

TIMED = ("seconds", "examples_per_s", "checkpoint")
"""What `--json` may say differently of two runs that learnt the same."""

ARGS = "--loss_function logistic --link logistic -b 12"


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def train(service: Weir, *arguments: str) -> dict[str, Any]:
    ran = service.command("train", *arguments, "--json")
    assert ran.code == 0, ran
    return {name: value for name, value in json.loads(ran.out).items() if name not in TIMED}


def killed_after_a_checkpoint(service: Weir, files: Sequence[str], chance: random.Random) -> bool:
    """Run until the next checkpoint and a moment longer, then kill -9. False where it had ended before."""
    head = service.checkpoints / "HEAD"
    before = head.read_bytes() if head.exists() else b""
    command = [WEIR, "train", *files, "--resume", "-c", str(service.toml)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: process.poll() is not None or (head.exists() and head.read_bytes() != before))
        for _ in range(chance.randrange(200_000)):
            pass
        process.kill()
    return process.returncode < 0


def backfilled(folder: Path, history: list[bytes], **settings: dict[str, object]) -> tuple[Weir, str]:
    service = Weir(folder, **settings)
    path = written(folder / "history.jsonl", b"\n".join(history))
    return service, str(path)


def broken_off(folder: Path, more: bytes = b"\n") -> tuple[Weir, Path]:
    """A backfill that stopped at an array which is cut off, after 300 events."""
    service, _ = backfilled(folder, [])
    path = written(folder / "cut.json", b"[\n" + b",\n".join(synthetic(300)) + b"," + more)
    ran = service.command("train", str(path), "--backfill")
    assert ran.code == 2, ran
    assert "cut.json, line 302: the array" in ran.err.splitlines()[-1]
    assert "The 300 records before that are learnt and kept" in ran.err.splitlines()[-1]
    return service, path
