import hashlib
from pathlib import Path

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
