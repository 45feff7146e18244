"""Checkpoints to test with, and the notes beside them."""

from checkpoints.checkpoint import Checkpoint, Note
from checkpoints.manifest import Hole, LearnerSpec, Manifest, Model, Stretch

BLOBS = {"learner": b"\x00weights" * 40, "encoders": b"", "order": b"[[0,128]]", "progress": b'{"n":1}'}


def manifest(offset: int = 128, parent: str | None = None) -> Manifest:
    return Manifest(
        model=Model(name="flight_delays", task="binary", owner="ops", metadata={"ort": "Zürich"}),
        learner=LearnerSpec(kind="vw", arguments="--loss_function logistic -q ff"),
        versions={"python": "3.11.7", "weir": "0.1.0", "vowpalwabbit": "9.11.9"},
        platform="linux-x86_64",
        position={0: offset, 2: 7, 10: 3},
        since_parent=Stretch(records=128, examples=127, sha256="ab" * 32, first_time_s=1.7e9, last_time_s=1.7e9 + 0.1),
        exact_resume=True,
        schema={"label": "delayed", "labels": {"YES": 1, "NO": -1}},
        parent=parent,
        holes=[Hole(partition=0, first=5, last=9, why="poison")],
        metrics={"average_loss": 0.1, "examples": 127, "auc": None},
    )


def sample(offset: int = 128, parent: str | None = None) -> Checkpoint:
    return Checkpoint.of(manifest(offset, parent), {**BLOBS, "order": b"[[0,%d]]" % offset})


def noted(created_at: float = 1000.0, why: str = "on demand") -> Note:
    return Note(created_at=created_at, host="here", pid=1, why=why, weir="0.1.0")
