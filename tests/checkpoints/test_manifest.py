import json
import math

import msgspec
import numpy as np
import pytest
from checkpoint_samples import BLOBS, manifest, sample
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.checkpoint import Checkpoint
from checkpoints.errors import CheckpointDamaged, CheckpointError
from checkpoints.manifest import Backfill, Hole, LearntFile, Manifest, canonical, decode, id_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))
POSITION = st.dictionaries(st.integers(0, 2**31), st.integers(0, 2**63 - 1), max_size=5)


def with_metrics(metrics: dict[str, object]) -> Manifest:
    return msgspec.structs.replace(manifest(), metrics=metrics)


def test_the_id_of_a_known_checkpoint_never_changes() -> None:
    assert sample().id == "sha256.0b852f7bd84d4399e39517e59df0c3ab7280f576157acb16a5047a802ac0af80"


def test_canonical_json_has_sorted_keys_no_whitespace_and_utf8() -> None:
    data = canonical(sample().manifest)
    tree = json.loads(data)
    assert data == json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert b'"position":{"0":128,"10":3,"2":7}' in data
    assert "Zürich".encode() in data
    assert {"except", "holes", "git_commit", "order_lost_at"} <= tree.keys()


@given(
    metrics=st.dictionaries(TEXT, JSON, max_size=5), schema=st.dictionaries(TEXT, JSON, max_size=5), position=POSITION
)
def test_a_manifest_comes_back_equal_and_with_its_id(
    metrics: dict[str, object], schema: dict[str, object], position: dict[int, int]
) -> None:
    before = msgspec.structs.replace(manifest(), metrics=metrics, schema=schema, position=position)
    after = decode(canonical(before))
    assert after == before
    assert canonical(after) == canonical(before)


def test_the_order_in_which_a_dict_was_filled_does_not_change_the_id() -> None:
    turned = dict(reversed(BLOBS.items()))
    assert (
        Checkpoint.of(with_metrics({"a": 1, "b": 2}), BLOBS).id
        == Checkpoint.of(with_metrics({"b": 2, "a": 1}), turned).id
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, {1, 2}, b"x", object(), np.int64(1), np.nan])
def test_what_json_cannot_carry_is_refused_by_name_of_the_field(value: object) -> None:
    with pytest.raises(CheckpointError, match=r"metrics\.loss\[1\]"):
        Checkpoint.of(with_metrics({"loss": [0.5, value]}), BLOBS)


def test_a_numpy_float_is_written_as_the_float_it_is() -> None:
    assert canonical(with_metrics({"loss": np.float64(0.1)})) == canonical(with_metrics({"loss": 0.1}))


def test_an_integer_in_a_float_field_gives_the_id_of_the_float() -> None:
    stretch = manifest().since_parent
    whole = [msgspec.structs.replace(manifest(), since_parent=msgspec.structs.replace(stretch, last_time_s=at))
             for at in (5, 5.0)]  # fmt: skip
    assert canonical(whole[0]) == canonical(whole[1])


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(CheckpointError, match="UTF-8"):
        canonical(with_metrics({"x": "\ud800"}))


def test_keys_that_would_fall_together_are_refused() -> None:
    with pytest.raises(CheckpointError, match="distinct"):
        canonical(with_metrics({"x": {1: "a", "1": "b"}}))


@pytest.mark.parametrize("name", ["", "MODEL.json", "model.json", "../x", "a/b", ".hidden", "Upper", "x\n", "a" * 101])
def test_a_blob_name_that_is_no_plain_file_name_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError):
        Checkpoint.of(manifest(), {name: b""})


@pytest.mark.parametrize(
    ("field", "value"),
    [("parent", "sha256.12"), ("parent", "sha256." + "a" * 64 + "\n"), ("position", {-1: 0}), ("position", {0: 1.5})],
)
def test_a_value_that_does_not_fit_its_type_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=field):
        canonical(msgspec.structs.replace(manifest(), **{field: value}))


def test_a_hole_must_have_an_extent() -> None:
    with pytest.raises(CheckpointError, match="first < last"):
        Hole(partition=0, first=4, last=4, why="nothing")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b'"format":1', b'"format": 1'),
        lambda data: data.replace(b'{"blobs"', b'{"blobs":{},"blobs"'),
        lambda data: data.replace(b'"holes":', b'"unknown":0,"holes":'),
        lambda data: data.replace(b'"average_loss":0.1', b'"average_loss":1e-1'),
        lambda data: data + b"\n",
        lambda data: b"\xff",
        lambda data: b"[" * 100_000,
    ],
)
def test_only_the_canonical_form_can_be_read(change) -> None:
    with pytest.raises(CheckpointError):
        decode(change(canonical(sample().manifest)))


def test_another_format_is_refused_by_its_number() -> None:
    with pytest.raises(CheckpointError, match="format 2, expected 1"):
        decode(b'{"format":2,"of":"the future"}')


def test_a_checkpoint_shares_nothing_that_its_maker_goes_on_changing() -> None:
    live = manifest()
    before = Checkpoint.of(live, {"learner": (state := bytearray(b"abc"))})
    first = before.id
    live.position[0] += 1
    live.metrics["examples"] = 10**9
    state[0] = 0
    assert before.id == first
    assert before.blobs["learner"] == b"abc"


@pytest.mark.parametrize(
    ("blobs", "what"),
    [
        ({"learner": b"abd"}, "blob 'learner' has sha256 "),
        ({"learner": b"abcd"}, "blob 'learner' has length 4, the manifest says 3"),
        ({}, "blob 'learner' is missing"),
        ({"learner": b"abc", "other": b""}, "blob 'other' is not in the manifest"),
    ],
)
def test_a_checkpoint_whose_blobs_are_not_those_of_its_manifest_cannot_be_built(
    blobs: dict[str, bytes], what: str
) -> None:
    whole = Checkpoint.of(manifest(), {"learner": b"abc"})
    with pytest.raises(CheckpointDamaged, match=what) as caught:
        Checkpoint(whole.manifest, blobs)
    assert id_of(canonical(whole.manifest)) in str(caught.value)


def test_a_backfill_comes_back_and_is_not_written_where_there_was_none() -> None:
    learnt = LearntFile(name="a.csv.gz", size=10, records=3, sha256="0" * 64)
    with_one = msgspec.structs.replace(manifest(), backfill=Backfill(files=[learnt], live_from={0: 7}))
    assert decode(canonical(with_one)) == with_one
    assert b"backfill" not in canonical(manifest())
