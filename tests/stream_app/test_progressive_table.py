"""VW's progressive table: the rows and the layout that VW itself prints."""

import random
import subprocess
import sys

import msgspec
import numpy as np
import pylibvw
import pytest
from vowpalwabbit import Workspace

from stream_app.progressive import HEADER, Progressive, Row, format_row


def vw_lines(count, seed, weights):
    """Simple labels with weights; some without a label."""
    rng = random.Random(seed)
    lines = []
    for _ in range(count):
        label = "" if rng.random() < 0.1 else f"{rng.uniform(-3, 3):.3f} {rng.choice(weights)}"
        lines.append(f"{label} | a:{rng.uniform(0.1, 1):.3f} b{rng.randint(0, 9)} c{rng.randint(0, 99)}")
    return lines


def printed_by_vw(path, *arguments):
    """VW's own table on the file: header and rows."""
    command = [sys.executable, "-m", "vowpalwabbit", "-d", str(path), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = (run.stderr + run.stdout).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("average  since"))
    return lines[start : lines.index("", start)], lines


def learnt(lines):
    """Columns of labels, predictions, weights and losses, as VW's binding gives them."""
    workspace = Workspace("--quiet")
    rows = []
    for line in lines:
        (example,) = pylibvw.vw._parse(workspace, line)
        pylibvw.vw.learn(workspace, example)
        label = pylibvw.example.get_simplelabel_label(example)
        is_labelled = not line.startswith(" |")
        prediction = pylibvw.example.get_simplelabel_prediction(example)
        weight = pylibvw.example.get_simplelabel_weight(example) if is_labelled else 1.0
        loss = pylibvw.example.get_loss(example) if is_labelled else 0.0
        rows.append((label if is_labelled else np.nan, prediction, weight, loss))
        pylibvw.vw._finish_example(workspace, example)
    workspace.finish()
    return np.array(rows, dtype=np.float64).T.copy()


def fed(columns, batch, **arguments):
    labels, predictions, weights, losses = columns
    progressive = Progressive("regression", **arguments)
    for start in range(0, len(labels), batch):
        rows = slice(start, start + batch)
        progressive.update(labels[rows], predictions[rows], None, weights[rows], losses[rows])
    return progressive


@pytest.mark.parametrize("batch", [1, 128, 3000])
@pytest.mark.parametrize("weights", [["1"], ["0.1", "1", "2.5", "7"]])
@pytest.mark.parametrize("progress", ["2.0", "100", "1.1", "0.5"])
def test_the_table_is_the_one_that_vw_prints(tmp_path, batch, weights, progress):
    lines = vw_lines(3000, 1, weights)
    path = tmp_path / "data.vw"
    path.write_text("\n".join(lines) + "\n")
    printed, output = printed_by_vw(path, "-P", progress)
    progressive = fed(learnt(lines), batch, progress=progress)
    rows = [format_row(msgspec.structs.replace(row, features=4)) for row in progressive.table()]
    assert HEADER.splitlines() == printed[:2]
    assert rows == printed[2:]
    assert f"average loss = {progressive.report()['total']['average_loss']:.6f}" in output


def test_row_figures_are_exact_and_up_to_date_in_the_middle_of_a_block():
    losses = np.full(5, 0.1)
    progressive = Progressive("regression")
    progressive.update(np.ones(5), np.zeros(5), None, np.ones(5), losses)
    assert [row.example_counter for row in progressive.table()] == [1, 2, 4]
    assert progressive.table()[-1].average_loss == (0.1 + 0.1 + 0.1 + 0.1) / 4
    assert progressive.table()[-1].since_last == (0.1 + 0.1) / 2
    assert progressive.report()["total"]["since_last"] == (0.1 + 0.1) / 2


def test_the_last_200_rows_are_kept():
    columns = np.ones((4, 3000))
    rows = fed(columns, 128, progress="1").table()
    assert [row.example_counter for row in rows] == list(range(2801, 3001))


def test_classes_are_printed_as_integers_and_missing_figures_as_na():
    progressive = Progressive("multiclass")
    progressive.update(np.array([np.nan, 3.0]), np.array([1.0, 2.0]), None, np.ones(2), np.array([0.0, 1.0]))
    assert [format_row(row) for row in progressive.table()] == [
        "n.a.     n.a.                1            1.0        unknown              1     n.a.",
        "1.000000 1.000000            2            2.0              3              2     n.a.",
    ]


def test_long_cells_are_cut_as_vw_cuts_them():
    row = Row(7.62079036e21, 1.52415807e22, 2, 2.0, 123456798720.0, 0.5069, 3)
    assert format_row(row) == "76207903 15241580            2            2.0 12345679872...         0.5069        3"


def test_a_state_whose_table_starts_outside_of_the_block_is_refused():
    progressive = fed(np.ones((4, 5)), 5)
    state = msgspec.msgpack.decode(progressive.state())
    state["table"]["start"] = 6
    with pytest.raises(ValueError, match="table: start 6 outside of 5 pending rows"):
        progressive.restore(msgspec.msgpack.encode(state))
