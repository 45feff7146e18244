"""`weir checkpoints`: filtered, compared, carried to another store, pruned; and models of other versions."""

import io
import json
import tarfile
from pathlib import Path

import msgspec
import pytest
from weir_process import Ran, Weir, closing, refused, run_weir, synthetic

from checkpoints import open_store
from checkpoints.checkpoint import Checkpoint
from checkpoints.errors import CheckpointDamaged, CheckpointError
from checkpoints.parcel import pack, unpack


@pytest.fixture
def service(tmp_path: Path) -> Weir:
    """Stopped, with three checkpoints."""
    model = {"owner": "ops", "metadata": {"team": "fraud"}}
    service = Weir(tmp_path / "a", model=model, checkpoints={"every_s": 1000}, progressive={"window": 100})
    with closing(service):
        service.start()
        for first in range(0, 1500, 500):
            service.post("/events", b"\n".join(synthetic(500, first=first)))
            service.wait_learnt(first + 500)
            service.checkpoint()
        assert service.stop() == 0
    return service


def ids(service: Weir) -> list[str]:
    """Newest first."""
    return [summary.id for summary in open_store(str(service.checkpoints)).list()]


def listed(service: Weir, *arguments: str) -> list[str]:
    ran = service.command("checkpoints", "list", "--json", *arguments)
    assert ran.code == 0, ran
    return [line["id"] for line in json.loads(ran.out)["checkpoints"]]


def test_a_listing_is_filtered_by_owner_tag_and_condition(service: Weir) -> None:
    newest, middle, oldest = ids(service)
    assert listed(service, "--owner", "ops") == [newest, middle, oldest]
    assert listed(service, "--owner", "other") == []
    assert listed(service, "--where", "examples > 600 and learner = 'vw'") == [newest, middle]
    assert listed(service, "--where", "metadata.team = 'fraud' and records <= 500") == [oldest]
    assert listed(service, "--where", "window.log_loss < 0") == []
    assert service.command("deploy", "-t", "x.y", "-m", middle, environment={"WEIR_HTTP_PORT": "1"}).code == 0
    assert listed(service, "--tag", "x.y") == [middle]
    for arguments in (["--where", "nosuch < 1"], ["--where", "log_loss <"], ["--tag", "none"]):
        ran = service.command("checkpoints", "list", *arguments)
        assert (ran.code, len(ran.err.splitlines())) == (2, 1), ran


def test_a_condition_on_a_figure_of_another_task_does_not_hold(service: Weir, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (tmp_path / "events.jsonl").write_text('{"label": 2.5, "features": {"a": 1}}\n' * 50)
    (tmp_path / "weir.toml").write_text('[model]\ntask = "regression"\n')
    ran = run_weir(
        "train", str(tmp_path / "events.jsonl"), "--out", str(other), "-c", str(tmp_path / "weir.toml"), "--json"
    )
    assert ran.code == 0, ran
    package = str(tmp_path / "model.weir")
    moved = run_weir("checkpoints", "export", json.loads(ran.out)["checkpoint"], package,
                     environment={"WEIR_CHECKPOINTS_URL": str(other)})  # fmt: skip
    assert moved.code == 0, moved
    before = listed(service, "--where", "log_loss > 0")
    assert service.command("checkpoints", "import", package).code == 0
    assert listed(service, "--where", "log_loss > 0") == before
    assert len(listed(service, "--where", "rmse >= 0")) == 1


def test_a_difference_names_settings_data_metrics_and_the_weights_that_moved(service: Weir) -> None:
    newest, _, oldest = ids(service)
    ran = service.command("checkpoints", "diff", oldest, newest, "--json", "--top", "5")
    found = json.loads(ran.out)
    assert found["settings"] == []
    assert {"what": "position 0", "before": 500, "after": 1500, "by": 1000} in found["data"]
    assert next(change for change in found["metrics"] if change["what"] == "examples")["by"] == 1000
    assert len(found["weights"]) == 5
    assert any("carrier" in change["what"] or "hour" in change["what"] for change in found["weights"])
    moved = [abs(change["by"]) for change in found["weights"]]
    assert moved == sorted(moved, reverse=True)
    assert "weights" in service.command("checkpoints", "diff", oldest[:19], newest[:19]).out
    same = json.loads(service.command("checkpoints", "diff", newest, newest, "--json").out)
    assert [same[name] for name in ("settings", "data", "metrics", "weights")] == [[], [], [], []]


def test_a_package_is_carried_to_another_store_in_one_file(service: Weir, tmp_path: Path) -> None:
    newest = ids(service)[0]
    other = Weir(tmp_path / "other")
    files = [tmp_path / "one.weir", tmp_path / "two.weir"]
    for file in files:
        assert service.command("checkpoints", "export", newest, str(file)).out == f"{newest}\n"
    assert files[0].read_bytes() == files[1].read_bytes()
    assert other.command("checkpoints", "import", str(files[0])).out == f"{newest}\n"
    assert ids(other) == [newest]
    assert open_store(str(other.checkpoints)).head() is None
    assert open_store(str(other.checkpoints)).load(newest) == open_store(str(service.checkpoints)).load(newest)
    assert "exists" in service.command("checkpoints", "export", newest, str(files[0])).err
    with closing(other):
        other.start()
        event = {"features": {"n": 1}}
        assert other.post(f"/model/{newest}/predict", event).body["model"] == newest
        for _ in range(3):
            other.post("/events", synthetic(1)[0])
            other.checkpoint()
        assert newest in ids(other), "retention spares what was imported"


def test_a_parcel_with_a_wrong_byte_or_a_foreign_member_is_refused(service: Weir, tmp_path: Path) -> None:
    checkpoint = open_store(str(service.checkpoints)).load(ids(service)[0])
    whole = io.BytesIO()
    pack(checkpoint, None, whole)
    data = whole.getvalue()
    refusals = 0
    for place in range(0, len(data), 997):
        damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            found, _ = unpack(io.BytesIO(damaged))
        except CheckpointError:
            refusals += 1
        else:
            assert found == checkpoint, "a byte of padding"
    assert refusals > len(data) // 997 // 2
    for cut in (0, 100, 600, len(data) // 2):
        with pytest.raises(CheckpointError):
            unpack(io.BytesIO(data[:cut]))
    file = tmp_path / "damaged.weir"
    file.write_bytes(data[: len(data) // 2])
    assert "no parcel, or it was cut off" in refused("checkpoints", "import", str(file), "-c", str(service.toml))


@pytest.mark.parametrize("kind", ["path", "link", "twice", "huge"])
def test_a_parcel_made_to_harm_is_refused(kind: str, service: Weir) -> None:
    checkpoint = open_store(str(service.checkpoints)).load(ids(service)[0])
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        _add(tar, "ID", checkpoint.id.encode())
        _add(tar, "MODEL.json", checkpoint.model_json)
        if kind == "path":
            _add(tar, "blobs/../../../etc/passwd", b"x")
        elif kind == "link":
            member = tarfile.TarInfo("blobs/learner")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(member)
        elif kind == "twice":
            _add(tar, "blobs/counts", checkpoint.blobs["counts"])
            _add(tar, "blobs/counts", checkpoint.blobs["counts"])
        else:
            _add(tar, "blobs/counts", checkpoint.blobs["counts"] * 1000)
    made.seek(0)
    with pytest.raises(CheckpointDamaged):
        unpack(made)


def test_a_prune_says_what_would_go_and_spares_what_is_named(service: Weir) -> None:
    newest, middle, oldest = ids(service)
    assert service.command("deploy", "-t", "x.y", "-m", oldest, environment={"WEIR_HTTP_PORT": "1"}).code == 0
    dry = json.loads(service.command("checkpoints", "prune", "--keep", "1", "--dry-run", "--json").out)
    assert (dry["removed"], dry["dry_run"]) == ([middle], True)
    (row,) = dry["checkpoints"]
    assert (row["id"], row["owner"], row["position"]) == (middle, "ops", {"0": 1000})
    assert row["superfluous"] == "older than the newest that stay"
    assert min(row["size_bytes"], row["created_at"]) > 0
    table = service.command("checkpoints", "prune", "--keep", "1", "--dry-run")
    assert " ".join(table.out.splitlines()[0].split()) == "model taken (UTC) owner position bytes why it may go"
    assert all(cell in table.out for cell in (middle[7:19], "ops", "0:1000", "older than the newest that stay"))
    assert table.err == "1 of 3 would be removed\n"
    assert ids(service) == [newest, middle, oldest]
    assert service.command("checkpoints", "prune", "--keep", "1").out == f"{middle}\n"
    assert ids(service) == [newest, oldest]


def test_a_model_of_other_versions_is_warned_of_or_refused(service: Weir, tmp_path: Path) -> None:
    store = open_store(str(service.checkpoints))
    real = store.load(ids(service)[0])
    manifest = msgspec.structs.replace(real.manifest, versions={**real.manifest.versions, "vowpalwabbit": "8.0.0"})
    old = store.keep(Checkpoint.of(manifest, real.blobs), store.list()[0].note)
    events = tmp_path / "events.jsonl"
    events.write_bytes(b'{"features": {"n": 1}}\n')

    def predicted(policy: str) -> Ran:
        environment = {"WEIR_CHECKPOINTS_OTHER_VERSIONS": policy}
        arguments = ("predict", str(events), "--model", old, "-c", str(service.toml))
        return run_weir(*arguments, environment=environment)

    warned = predicted("warn")
    assert (warned.code, warned.out.count("\n")) == (0, 1)
    assert "was made with vowpalwabbit 8.0.0 (here 9.11.9)" in warned.err
    said = predicted("refuse")
    assert (said.code, "install those, or set checkpoints.other_versions" in said.err) == (2, True)
    with closing(service):
        service.configure(progressive={"window": 100}, checkpoints={"other_versions": "refuse"})
        service.start()
        answer = service.post("/tags/x.y", {"model": old})
        assert (answer.status, answer.body["error"]["code"]) == (409, "checkpoint_does_not_fit")


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
