import hashlib
from pathlib import Path

import pytest
from backfill_runs import ARGS, written
from weir_process import Weir

from stream_app.history import History
from stream_app.sources.file import FileSource
from stream_app.sources.source import Records


def test_what_was_learnt_of_a_file_is_told_though_it_has_been_removed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1\n22\n")
    source = FileSource(path, lambda stream: iter(stream))
    history = History(source.paths, source.sizes)
    history.new(0, Records(0, 0, [b"1"], 0.0))
    path.unlink()
    (learnt,) = history.files()
    assert (learnt.size, learnt.records, learnt.sha256) == (5, 1, hashlib.sha256(b"1\n").hexdigest())
    history.end()
    assert history.files() == [learnt]


@pytest.mark.parametrize(
    ("header", "events", "said"),
    [
        (b"y,b,a", {}, "events.columns is ['y', 'b', 'a']"),
        (b"y,a,b", {"encoding": "latin-1"}, "events.encoding is 'latin-1'"),
        (b"y,a,b", {"quoting": False}, "events.quoting is False"),
        (b"y,a,b", {}, ""),
    ],
)
def test_rows_are_gone_on_with_only_as_they_were_read(
    header: bytes, events: dict[str, object], said: str, tmp_path: Path
) -> None:
    settings: dict[str, dict[str, object]] = {"schema": {"label": "y"}, "learner": {"args": ARGS}}
    service = Weir(tmp_path, **settings)
    path = written(tmp_path / "a.csv", b"y,a,b\n1,2,3\n0,1,2\n")
    bad = written(tmp_path / "b.csv.gz", b"no gzip")
    assert service.command("train", str(path), str(bad), "--backfill", "--format", "csv").code == 2
    assert service.manifest().position == {0: 2}
    written(path, header + path.read_bytes()[5:])
    service.configure(**settings, events=events)
    ran = service.command("train", str(path), str(bad), "--resume", "--format", "csv")
    assert ran.code == 2
    assert (said or "b.csv.gz cannot be read") in ran.err.splitlines()[-1]
