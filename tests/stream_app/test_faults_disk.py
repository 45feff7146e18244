"""Full disks (small real ones) and other reasons not to start: said in one line, nothing damaged, nothing lost."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from weir_process import Weir, append, closing, records_of, refused, run_weir, synthetic, wait_for

from checkpoints.durable import replace
from stream_app import series_file
from stream_app.series_file import SeriesFile

EVENTS = synthetic(2_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    with mounted(path):
        yield path


@contextmanager
def mounted(path: Path) -> Iterator[None]:
    """A small disk at `path`, which can then be neither renamed nor removed."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(path)]
    try:
        run = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if run.returncode:
        pytest.skip(f"mounting a tmpfs is not permitted here: {run.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def fill(disk: Path, keep_bytes: int = 0) -> Path:
    """Take all room but `keep_bytes`."""
    path = disk / "filling"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    if keep_bytes:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - keep_bytes)
    return path


def test_a_full_log_takes_no_event_and_everything_else_goes_on(small_disk: Path, tmp_path: Path) -> None:
    service = Weir(tmp_path / "weir", source={"url": f"log:{small_disk}/log"}).start()
    with closing(service):
        assert service.post("/events", b"\n".join(EVENTS)).status == 202
        filling = fill(small_disk)
        answer = wait_for(lambda: refusal(service))
        assert (answer.status, answer.body["error"]["code"]) == (503, "source_full")
        assert float(answer.headers["Retry-After"]) > 0
        accepted = service.wait_learnt(len(EVENTS))["records"]
        assert service.post("/predict", EVENTS[0]).status == 200
        filling.unlink()
        posted = wait_for(lambda: accepted_by(service, EVENTS))
        status = service.wait_learnt(accepted + len(EVENTS))
        service.kill()
        assert status["records"] == posted["next"]
        assert service.start().wait_learnt(posted["next"])["examples"] == len(EVENTS)


def refusal(service: Weir) -> Any:
    """Post until it is refused: RocksDB has some room of its own left."""
    answer = service.post("/events", EVENTS[0])
    return answer if answer.status != 202 else None


def accepted_by(service: Weir, events: list[bytes]) -> dict[str, int] | None:
    answer = service.post("/events", b"\n".join(events))
    assert answer.status in (202, 503), answer
    return answer.body["positions"][0] if answer.status == 202 else None


async def test_a_checkpoint_without_room_is_said_and_tried_again(small_disk: Path, tmp_path: Path) -> None:
    settings = {"checkpoints": {"url": str(small_disk / "checkpoints"), "every_events": 500}}
    service, clean = Weir(tmp_path / "weir", **settings), Weir(tmp_path / "clean")
    service.checkpoints = small_disk / "checkpoints"
    await append(clean.log, EVENTS)
    with closing(service, clean):
        service.start().post("/events", b"\n".join(EVENTS[:600]))
        service.wait_learnt(600)
        before = service.checkpoint()
        filling = fill(small_disk)
        service.post("/events", b"\n".join(EVENTS[600:]))
        service.wait_learnt(len(EVENTS))
        assert "no space" in wait_for(lambda: service.status()["checkpoint_error"])
        assert service.get("/health/ready").status == 503
        assert service.post("/checkpoints").status == 503
        assert service.post("/rollback", {"id": before}).status == 503
        assert service.status()["position"] == {"0": len(EVENTS)}
        assert service.post("/predict", EVENTS[0]).status == 200
        filling.unlink()
        wait_for(lambda: service.status()["checkpoint_error"] is None)
        assert service.get("/health/ready").status == 200
        assert service.stop() == 0
        clean.start().wait_learnt(len(EVENTS))
        assert clean.stop() == 0
    assert service.manifest().since_parent.records == len(EVENTS) - 600
    assert service.deciding() == clean.deciding()


def test_at_the_end_of_a_file_a_checkpoint_without_room_is_tried_again(small_disk: Path, tmp_path: Path) -> None:
    source = {"url": f"file:{events_file(tmp_path)}"}
    service = Weir(tmp_path / "weir", source=source, checkpoints={"url": str(small_disk / "checkpoints")})
    filling = fill(small_disk)
    with closing(service):
        service.start()
        assert "no space" in wait_for(lambda: service.status()["checkpoint_error"])
        filling.unlink()
        wait_for(lambda: service.status()["checkpoint"])
        assert service.wait_learnt(len(EVENTS))["examples"] == len(EVENTS)
        assert service.stop() == 0


def test_a_checkpoint_that_cannot_be_tidied_away_does_not_stop_the_next(tmp_path: Path) -> None:
    service = Weir(tmp_path, checkpoints={"keep": 1}).start()
    with closing(service):
        first = learn_some(service, 0)
        with mounted(service.checkpoints / "objects" / first):
            heads = {learn_some(service, 10), learn_some(service, 20), learn_some(service, 30)}
            assert service.status()["checkpoint_error"] is None
        assert len(heads) == 3
        assert service.stop() == 0


def learn_some(service: Weir, first: int) -> str:
    assert service.post("/events", b"\n".join(EVENTS[first : first + 10])).status == 202
    service.wait_learnt(first + 10)
    return service.checkpoint()


def test_a_full_state_folder_stops_neither_learning_nor_predictions(small_disk: Path, tmp_path: Path) -> None:
    service = Weir(tmp_path / "weir", state={"dir": str(small_disk)}, source={"partitions": 2}).start()
    with closing(service):
        filling = fill(small_disk)
        assert all(service.post("/predict", event).status == 200 for event in EVENTS[:100])
        assert "disk is still full" in service.get("/health/ready").body["problems"][0]
        service.post("/events", b"\n".join(EVENTS))
        assert service.wait_learnt(len(EVENTS))["examples"] == len(EVENTS)
        filling.unlink()
        assert service.post("/predict", b'{"id": "late", "features": {"a": 1}}').status == 200
        assert service.get("/health/ready").status == 200
        assert service.post("/labels", {"id": "late", "label": 1}).status == 202
        assert service.stop() == 0


def test_figures_over_time_are_written_ever_more_seldom_while_the_disk_is_full_and_all_of_them_after(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, filling = SeriesFile(small_disk / "figures.jsonl", ["x"]), fill(small_disk)
    tried_at: list[int] = []
    number = 0

    def tried(path: Path, data: bytes) -> None:
        tried_at.append(number)
        replace(path, data)

    monkeypatch.setattr(series_file, "replace", tried)
    for number in range(200):
        kept.add(1.8e9 + number, {"x": number})
    assert tried_at == [0, 1, 3, 6, 11, 20, 37, 70, 131, 192]
    filling.unlink()
    for number in range(200, 300):
        kept.add(1.8e9 + number, {"x": number})
    assert tried_at[10:] == [253]
    again = SeriesFile(small_disk / "figures.jsonl", ["x"])
    assert again.series.rows[:-1] == kept.series.rows


@pytest.mark.parametrize("what", ["log", "checkpoints", "state"])
def test_on_a_full_disk_the_service_says_so_and_does_not_start(what: str, small_disk: Path, tmp_path: Path) -> None:
    place = str(small_disk / what)
    section = {"log": {"source": {"url": f"log:{place}"}}, "state": {"state": {"dir": place}}}.get(what, {})
    service = Weir(tmp_path / "weir", **section)
    if what == "checkpoints":
        service.configure(checkpoints={"url": place})
        train = events_file(tmp_path)
        fill(small_disk)
        assert "no space" in refused_last("train", str(train), "--format", "json", "--out", place)
        return
    fill(small_disk)
    refused("serve", "-c", str(service.toml), "--port", "0")


def events_file(folder: Path) -> Path:
    path = folder / "events.jsonl"
    path.write_bytes(b"\n".join(EVENTS))
    return path


def refused_last(*arguments: str) -> str:
    """The last line of a command that printed its table before it failed."""
    ran = run_weir(*arguments)
    assert ran.code == 2, ran
    return ran.err.splitlines()[-1]


async def test_a_second_service_on_the_same_state_or_log_names_the_first(tmp_path: Path) -> None:
    first = Weir(tmp_path / "first")
    second = Weir(tmp_path / "second", source={"url": f"log:{first.log}"})
    with closing(first):
        first.start().post("/events", b"\n".join(EVENTS[:10]))
        first.wait_learnt(10)
        for toml in (first.toml, second.toml):
            assert f"process {first.pid} " in refused("serve", "-c", str(toml), "--port", "0")
        assert first.wait_learnt(10)["examples"] == 10
        assert first.stop() == 0
    assert await records_of(first.log) == {0: EVENTS[:10]}


def test_a_port_in_use_is_said_and_nothing_is_left_behind(tmp_path: Path) -> None:
    service = Weir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert f"127.0.0.1:{port} cannot be listened on" in refused("serve", "-c", str(service.toml), "--port", port)
    assert not service.checkpoints.exists()
    with closing(service):
        service.start()
        wait_for(lambda: service.get("/health/ready").status == 200)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"http": {"prot": 1}}, "http.prot"),
        ({"learner": {"args": "--no_such_option"}}, "no_such_option"),
        ({"learner": {"args": "--oaa 3"}}, "model.task"),
        ({"http": {"host": "0.0.0.0"}}, "WEIR_HTTP_TOKEN"),
        ({"source": {"url": "file:/no/such/file"}}, "/no/such/file"),
        ({"source": {"url": "nowhere"}}, "source.url"),
        ({"checkpoints": {"every_events": 0}}, "checkpoints.every_events"),
        ({"events": {"format": "csv"}}, "schema.label"),
    ],
)
def test_a_setting_that_cannot_be_is_named_in_one_line(
    settings: dict[str, dict[str, object]], said: str, tmp_path: Path
) -> None:
    service = Weir(tmp_path, **settings)
    assert said in refused("serve", "-c", str(service.toml))
    assert not service.checkpoints.exists()


def test_a_missing_file_is_named_in_one_line(tmp_path: Path) -> None:
    assert "gone.toml: no such file" in refused("serve", "-c", str(tmp_path / "gone.toml"))
    assert "gone.vw" in refused_last("train", str(tmp_path / "gone.vw"), "--format", "vw")
