"""csv2vw beside what learns from it: a schema of Weir, Weir's JSON events, VW's own CSV reader."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from formats.json_event import JsonEvent
from formats.labels import Labels
from formats.vw_text import VwText
from stream_app.config import load, replaced
from stream_app.wiring import build_format, build_learner
from tools.csv2vw import main

SCHEMA = """
[events]
format = "csv"
encoding = "iso-8859-1"
[schema]
label = "Delayed"
labels = {YES = 1, NO = 0}
weight = "w"
id = "key"
missing = ["NA", ""]
drop = ["TailNum"]
[schema.namespaces]
f = ["Carrier", "Distance"]
[schema.fields.Distance]
type = "number"
[schema.fields.FlightNum]
type = "category"
rename = "flight"
[schema.fields.Words]
type = "tokens"
"""
ROWS = '''key,Delayed,w,Carrier,Distance,FlightNum,TailNum,Words,x
1,YES,1,WN,447,0012,N1,a b c,NaN
2,NO,2.5,"A|B: ""c""",NA,7,N2,"x
y",1e3
3,,1,é,1,,N3,,

4,MAYBE,1,é,1,,N3,,
5,YES,1,é,far,,N3,,
6,YES,1,short
7,NO,,AA,5.50,NA,NA,d,-0
'''


def test_a_schema_gives_the_very_text_that_weir_train_learns_from(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    config, data = tmp_path / "weir.toml", tmp_path / "in.csv"
    config.write_text(SCHEMA)
    data.write_bytes(ROWS.encode("iso-8859-1"))
    settings = load(str(config), {})
    format_ = build_format(settings, build_learner(settings).traits)
    with data.open("rb") as stream:
        payloads = list(format_.split(stream))
    learnt = format_.decode(payloads)
    assert len(learnt.dead) == 3
    assert main(["--schema", str(config), "--skip-bad", str(data)]) == 0
    out, err = capfdbinary.readouterr()
    assert out == b"".join(example.text + b"\n" for example in learnt.examples)
    for dead, line in zip(learnt.dead, (7, 8, 9), strict=True):
        assert f"in.csv:{line}: {dead.reason}\n".encode() in err


def test_events_of_a_schema_become_the_same_text(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    config, data = tmp_path / "weir.toml", tmp_path / "in.csv"
    config.write_text(SCHEMA)
    data.write_bytes(ROWS.encode("iso-8859-1"))
    assert main(["--schema", str(config), "--skip-bad", str(data)]) == 0
    text = capfdbinary.readouterr().out
    assert main(["--schema", str(config), "--skip-bad", "--json", str(data)]) == 0
    decoded = JsonEvent(Labels("number")).decode(capfdbinary.readouterr().out.splitlines())
    assert decoded.dead == []
    assert b"".join(example.text + b"\n" for example in decoded.examples) == text
    assert [example.id for example in decoded.examples] == ["1", "2", "3", "7"]


def test_a_bad_row_under_a_schema_ends_the_run_after_what_came_before(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config, data = tmp_path / "weir.toml", tmp_path / "in.csv"
    config.write_text(SCHEMA)
    data.write_bytes(ROWS.encode("iso-8859-1"))
    assert main(["--schema", str(config), str(data)]) == 1
    out, err = capfd.readouterr()
    assert out.count("\n") == 3
    assert "in.csv:7: Delayed: 'MAYBE' is not one of the labels" in err


@pytest.mark.parametrize(
    "options",
    [
        ("--label", "y"),
        ("--label", "y", "--missing", "keep"),
        ("--label", "y", "--missing", "indicate", "--namespace", "b=c d,e"),
        ("--label", "y", "--weight", "w", "--namespace", "e=a,b", "--namespace", "Z=e"),
        ("--ignore", "y"),
    ],
)
def test_json_events_become_the_same_text(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], options: tuple[str, ...]
) -> None:
    data = tmp_path / "in.csv"
    data.write_text('y,w,a,b,c d,e\nu,2,1,x y,|,:\nv,,,nan,"q\n""r""",1e3\n,3,-0,0.10,%20,\n3,1,é,,,5\n')
    assert main([*options, str(data)]) == 0
    text = capfdbinary.readouterr().out
    assert main([*options, "--json", str(data)]) == 0
    decoded = JsonEvent(Labels("number")).decode(capfdbinary.readouterr().out.splitlines())
    assert decoded.dead == []
    assert b"".join(example.text + b"\n" for example in decoded.examples) == text
    assert VwText(Labels("number")).decode(text.splitlines()).dead == []


def predictions(folder: Path, *arguments: str) -> list[float]:
    """What VW's own driver predicts, row by row, as it learns."""
    path = folder / "predictions"
    command = [sys.executable, "-m", "vowpalwabbit", "--quiet", "-b", "24", *arguments, "-p", str(path)]
    subprocess.run(command, check=True)
    return [float(line.split()[0]) for line in path.read_text().splitlines()]


def test_vw_learns_the_same_from_our_lines_as_from_its_own_csv_reader(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = ["_label,_tag,ns|num,ns|word,plain,|other"]
    for n in range(200):
        label = f"{n % 3 - 1} {1 + n % 2}" if n % 5 == 0 else f"{n % 3 - 1}"
        rows.append(f"{label},t{n},{n % 7}.5,w{n % 11},{'' if n % 4 == 0 else n % 13},{'xyz'[n % 3]}")
    data, lines = tmp_path / "native.csv", tmp_path / "ours.vw"
    data.write_text("\n".join(rows) + "\n")
    assert main(["--missing", "drop", str(data)]) == 0
    lines.write_text(capfd.readouterr().out)
    theirs = predictions(tmp_path, "--csv", "-d", str(data))
    assert len(theirs) == 200
    assert predictions(tmp_path, "-d", str(lines)) == pytest.approx(theirs, abs=2e-5)


def test_a_schema_for_another_learner_is_written_as_vw_text_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config, data = tmp_path / "weir.toml", tmp_path / "in.csv"
    config.write_text('[learner]\nkind = "river"\nargs = "linear_model.LogisticRegression()"\n[schema]\nlabel = "y"\n')
    data.write_text("y,a\n1,2\n")
    assert main(["--schema", str(config), str(data)]) == 0
    settings = replaced(load(str(config), {}), "events", format="csv")
    traits = msgspec.structs.replace(build_learner(settings).traits, reads="text")
    format_ = build_format(settings, traits)
    with data.open("rb") as stream:
        learnt = format_.decode(list(format_.split(stream)))
    assert capfd.readouterr().out.encode() == learnt.examples[0].text + b"\n"
