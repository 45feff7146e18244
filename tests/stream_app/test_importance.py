"""Importance is |weight| x spread over the sample, against numpy and scipy; and a sudden change is alerted of."""

import asyncio
import json
import math
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr  # type: ignore[import-untyped]
from test_names import Letters, learn, saved
from weir_process import synthetic

from checkpoints import open_store
from checkpoints.checkpoint import Checkpoint, Note
from learners.explanation import CONSTANT
from learners.learner import Explains, LearnerError
from stream_app import config, wiring
from stream_app import importance as measuring
from stream_app.importance import Importance, importance, movement, rank_correlation
from stream_app.importance_watch import ImportanceWatch
from stream_app.sample import sampled
from stream_app.settings import Settings
from stream_app.trainer import Trainer

QUADRATIC = "--loss_function logistic -q ff -b 18"
RIVER = (
    "(compose.SelectType(str) | preprocessing.OneHotEncoder()) + (compose.SelectType(Number) |"
    " preprocessing.StandardScaler()) | linear_model.LogisticRegression()"
)


def settings_of(args: str = QUADRATIC, kind: str = "vw", **more: dict[str, object]) -> Settings:
    return config.of({"learner": {"args": args, "kind": kind}, **more})


def trainer(settings: Settings) -> Trainer:
    learner = wiring.build_learner(settings)
    return wiring.build_trainer(settings, learner, wiring.build_format(settings, learner.traits), Letters())


def checkpoint_of(settings: Settings, payloads: list[bytes]) -> Checkpoint:
    learning = trainer(settings)
    learn(learning, payloads)
    return saved(learning)


def importance_of(model: str, **fields: float) -> Importance:
    told = [measuring.FieldImportance(name, value) for name, value in fields.items()]
    return Importance(model=model, examples=9, fields=told, features=[], collisions=0)


def by_a_matrix(settings: Settings, checkpoint: Checkpoint) -> tuple[dict[str, float], dict[str, float]]:
    """Features and fields with the standard deviations of their columns of contributions."""
    learner = wiring.build_stored(settings, checkpoint).learner
    assert isinstance(learner, Explains)
    rows = [learner.score(one).terms for one in sampled(checkpoint.blobs["sample"], learner.traits.reads)]
    features = {term.feature for row in rows for term in row} - {CONSTANT}
    fields = {field for row in rows for term in row for field in term.fields} - {CONSTANT}
    return (
        {name: float(np.std([sum(t.weight * t.value for t in row if t.feature == name) for row in rows]))
         for name in features},
        {name: float(np.std([sum(t.weight * t.value / len(t.fields) for t in row if name in t.fields) for row in rows]))
         for name in fields},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("args", "kind"), [(QUADRATIC, "vw"), ("--loss_function logistic --ftrl", "vw"), (RIVER, "river")]
)
def test_importance_is_the_deviation_of_what_is_contributed(args: str, kind: str) -> None:
    settings = settings_of(args, kind)
    checkpoint = checkpoint_of(settings, synthetic(1500))
    found = importance(settings, checkpoint)
    features, fields = by_a_matrix(settings, checkpoint)
    assert {one.name: one.importance for one in found.features} == pytest.approx(features, rel=1e-9, abs=1e-12)
    assert {one.name: one.importance for one in found.fields} == pytest.approx(fields, rel=1e-9, abs=1e-12)
    assert all(one.importance == pytest.approx(abs(one.weight) * one.spread) for one in found.features)
    assert found.examples == math.ceil(1500 / 16)
    assert [one.importance for one in found.fields] == sorted((one.importance for one in found.fields), reverse=True)
    assert set(fields) == {"f^carrier", "f^origin", "f^hour", "n"}


def test_what_decides_the_label_is_what_the_model_goes_by() -> None:
    settings = settings_of()
    found = importance(settings, checkpoint_of(settings, synthetic(4000)))
    assert {found.fields[0].name, found.fields[1].name} == {"f^carrier", "f^hour"}


def test_large_numbers_lose_no_digits() -> None:
    settings = settings_of(RIVER.replace("preprocessing.StandardScaler()", "compose.Select('t')"), "river")
    events = [json.dumps({"label": n % 2, "features": {"t": 1e12 + n}}).encode() for n in range(800)]
    (found,) = importance(settings, checkpoint_of(settings, events)).features
    assert found.spread == pytest.approx(float(np.std(np.arange(0, 800, 16))), rel=1e-6)


def test_collisions_and_names_that_the_sample_lacks_are_counted() -> None:
    settings = settings_of("--loss_function logistic -b 4")
    events = synthetic(400)
    events[1] = json.dumps({"label": 1, "features": {"seen": {"once": 1.0, "and=again": "x"}}}).encode()
    found = importance(settings, checkpoint_of(settings, events))
    assert found.collisions > 10
    assert found.unseen >= 2
    assert importance(settings_of(), checkpoint_of(settings_of(), events)).collisions < 5


def test_only_so_many_terms_are_looked_at_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of()
    checkpoint = checkpoint_of(settings, synthetic(1600))
    monkeypatch.setattr(measuring, "MOST_TERMS", 100)
    monkeypatch.setattr(measuring, "MOST_FEATURES", 7)
    found = importance(settings, checkpoint)
    assert (found.examples, len(found.features)) == (10, 7)
    assert found.left_out > 10
    (remark,) = found.remarks
    assert remark.startswith("the newest 10 sampled examples have 1")


def test_a_checkpoint_without_a_sample_says_so_and_one_that_cannot_be_explained_too() -> None:
    settings = settings_of()
    checkpoint = checkpoint_of(settings, synthetic(50))
    blobs = {name: blob for name, blob in checkpoint.blobs.items() if name != "sample"}
    found = importance(settings, Checkpoint.of(checkpoint.manifest, blobs))
    assert (found.fields, found.remarks) == ([], ["the checkpoint has no sample of what was learnt yet"])
    for count in (0, 50):
        with pytest.raises(LearnerError, match="nn cannot be explained"):
            importance(settings_of("--nn 2"), checkpoint_of(settings_of("--nn 2"), synthetic(count)))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=12))
def test_rank_correlation_is_that_of_scipy(rows: list[tuple[int, int]]) -> None:
    found = rank_correlation({str(number): (float(a), float(b)) for number, (a, b) in enumerate(rows)})
    if found is None:
        assert any(len(set(column)) == 1 for column in zip(*rows, strict=True))
    else:
        assert found == pytest.approx(spearmanr([a for a, _ in rows], [b for _, b in rows]).statistic)


def test_movers_are_told_with_what_they_were_also_where_one_side_lacks_them() -> None:
    before = importance_of("a", x=1.0, y=0.5, same=0.1)
    after = importance_of("b", z=2.0, x=0.75, same=0.1)
    moved = movement(before, after)
    assert [(one.name, one.before, one.after, one.change) for one in moved.fields] == [
        ("z", 0.0, 2.0, 2.0), ("y", 0.5, 0.0, -0.5), ("x", 1.0, 0.75, -0.25),
    ]  # fmt: skip
    assert moved.feature_rank_correlation is None
    assert [one.name for one in moved.top(1).fields] == ["z"]


def events_by(order: list[str], count: int = 1200) -> list[bytes]:
    """Binary features that decide less and less in this order."""
    found = []
    chance = np.random.default_rng(len(order[0]) + ord(order[0][0]))
    for _ in range(count):
        values = chance.random(len(order)) < 0.5
        pull = sum((1 if is_set else -1) * 2.0**-place for place, is_set in enumerate(values))
        features = {name: "yes" if is_set else "no" for name, is_set in zip(order, values, strict=True)}
        found.append(json.dumps({"label": int(pull > 0), "features": features}).encode())
    return found


async def watched(folder: Path, first: list[bytes], second: list[bytes], **settings: object) -> ImportanceWatch:
    """A watch that was offered a checkpoint after the first events, and one after the second."""
    tree = settings_of("--loss_function logistic", importance={"every_s": 1e-9, **settings})
    store, learning = open_store(str(folder)), trainer(tree)
    watch = ImportanceWatch(tree, store)
    head = None
    for payloads in (first, second):
        learn(learning, payloads)
        checkpoint = saved(learning)
        store.save(checkpoint, Note.now("test", "0"), head)
        head = checkpoint.id
        await asyncio.sleep(0.001)
        watch.offer(head)
        await asyncio.wait_for(_until_idle(watch), 240)
    await watch.close()
    return watch


async def _until_idle(watch: ImportanceWatch) -> None:
    while watch._task is not None and not watch._task.done():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


FIELDS = ["aa", "bb", "cc", "dd", "ee", "ff"]


async def test_a_model_that_goes_on_as_before_raises_no_alert(tmp_path: Path) -> None:
    watch = await watched(tmp_path, events_by(FIELDS), events_by(FIELDS, 600))
    assert watch.rank_correlation is not None
    assert watch.rank_correlation > 0.7
    assert (watch.problem, watch.latest is not None) == (None, True)


async def test_a_sudden_change_is_alerted_of_with_what_moved(tmp_path: Path) -> None:
    watch = await watched(tmp_path, events_by(FIELDS), events_by(FIELDS[::-1], 20_000), alert_below=0.9)
    assert watch.problem is not None
    assert "importance.alert_below" in watch.problem
    assert watch.movement is not None
    assert watch.movement.fields[0].name in {"aa", "ff"}
    assert watch.status()["problem"] == watch.problem


@pytest.mark.parametrize(("fields", "count"), [(FIELDS[:4], 1200), (FIELDS, 400)])
async def test_few_fields_or_few_examples_are_never_alerted_of(tmp_path: Path, fields: list[str], count: int) -> None:
    watch = await watched(tmp_path, events_by(fields, count), events_by(fields[::-1], 20_000), alert_below=1.0)
    assert (watch.problem, watch.rank_correlation) == (None, None)


async def test_checkpoints_that_come_faster_than_that_are_not_looked_at(tmp_path: Path) -> None:
    watch = await watched(tmp_path, events_by(FIELDS), events_by(FIELDS), every_s=1000)
    assert watch.latest is None, "nor is the first one, so soon after the start"
    never = await watched(tmp_path / "never", events_by(FIELDS), events_by(FIELDS), every_s=0)
    assert never.latest is None


async def test_a_watch_that_is_closed_gives_up_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = settings_of(QUADRATIC, importance={"every_s": 1e-9})
    checkpoint = checkpoint_of(tree, synthetic(9000))
    store = open_store(str(tmp_path))
    store.save(checkpoint, Note.now("test", "0"), None)
    watch = ImportanceWatch(tree, store)
    has_begun, may_go_on, rest = threading.Event(), threading.Event(), watch._rest

    def resting() -> None:
        has_begun.set()
        may_go_on.wait()
        rest()

    monkeypatch.setattr(watch, "_rest", resting)
    watch.offer(checkpoint.id)
    assert await asyncio.to_thread(has_begun.wait, 240)
    may_go_on.set()
    await watch.close()
    assert watch.latest is None
