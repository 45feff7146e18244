"""Tags: deploying, going back, shadows, candidates, and many writers at once."""

import threading
from pathlib import Path

import pytest

from checkpoints import open_store
from checkpoints.errors import CheckpointDamaged, CheckpointError
from checkpoints.tags import BACK_STEPS, By, Candidate, TagError, Tags, Target

A, B, C, D = (f"sha256.{letter * 64}" for letter in "abcd")
ME = By("me", "because")


@pytest.fixture
def tags(tmp_path: Path) -> Tags:
    return Tags(open_store(str(tmp_path)))


def test_going_back_is_repeatable_and_ends_where_deploying_began(tags: Tags) -> None:
    for model in (A, B, "live", C):
        tags.deploy("fraud.production", model, ME)
    assert [tags.back("fraud.production", ME).primary for _ in range(3)] == ["live", B, A]
    with pytest.raises(TagError, match=f"nothing to go back to before {A}"):
        tags.back("fraud.production", ME)
    assert [(entry.action, entry.primary, entry.previous) for entry in tags.history("fraud.production")] == [
        ("deploy", A, None),
        ("deploy", B, A),
        ("deploy", "live", B),
        ("deploy", C, "live"),
        ("back", "live", C),
        ("back", B, "live"),
        ("back", A, B),
    ]


def test_a_deployment_after_going_back_begins_a_new_way_back(tags: Tags) -> None:
    for model in (A, B):
        tags.deploy("t", model, ME)
    tags.back("t", ME)
    tags.deploy("t", C, ME)
    assert [tags.back("t", ME).primary] == [A]


def test_history_says_who_when_why_and_what_before(tags: Tags) -> None:
    tags.deploy("t", A, By("ann", "first"))
    entry = tags.deploy("t", B, By("bob", "better", {"log_loss": 0.5}))
    assert (entry.who, entry.why, entry.previous, entry.figures) == ("bob", "better", A, {"log_loss": 0.5})
    assert entry.at >= tags.history("t")[0].at > 1.7e9
    assert tags.current("t") == entry


def test_deploying_what_is_deployed_enters_nothing(tags: Tags) -> None:
    assert tags.deploy("t", A, ME) == tags.deploy("t", A, ME)
    assert len(tags.history("t")) == 1


def test_shadows_are_added_and_removed_and_never_answer(tags: Tags) -> None:
    tags.deploy("t", A, ME)
    for model in (B, C, D):
        tags.add("t", model, None, ME)
    assert tags.remove("t", C, ME).shadows == [B, D]
    with pytest.raises(TagError, match="neither a shadow nor a candidate"):
        tags.remove("t", C, ME)
    with pytest.raises(TagError, match="there already"):
        tags.add("t", B, None, ME)
    promoted = tags.deploy("t", B, ME)
    assert (promoted.primary, promoted.shadows) == (B, [D])
    assert tags.back("t", ME).shadows == [D]


def test_candidates_answer_for_their_share_and_a_unit_stays_with_its_model() -> None:
    target = Target(A, [])
    assert {target.model_for("t", str(number)) for number in range(100)} == {A}
    shared = Target(A, [Candidate(B, 0.2), Candidate(C, 0.3)])
    given = [shared.model_for("t", str(number)) for number in range(20_000)]
    assert given == [shared.model_for("t", str(number)) for number in range(20_000)]
    assert [round(given.count(model) / 20_000, 1) for model in (A, B, C)] == [0.5, 0.2, 0.3]
    more = Target(A, [Candidate(B, 0.2), Candidate(C, 0.4)])
    moved = [(before, more.model_for("t", str(number))) for number, before in enumerate(given)]
    assert {pair for pair in moved if pair[0] != pair[1]} == {(A, C)}
    assert shared.model_for("t", None) == A
    assert [shared.model_for("u", str(number)) for number in range(50)] != given[:50]


def test_weights_leave_the_primary_something(tags: Tags) -> None:
    tags.deploy("t", A, ME)
    tags.add("t", B, 0.6, ME)
    with pytest.raises(TagError, match="leaves the primary nothing"):
        tags.add("t", C, 0.4, ME)
    tags.add("t", B, 0.5, ME)
    tags.add("t", C, 0.4, ME)
    for weight in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(TagError, match="above 0 and below 1"):
            tags.add("t", D, weight, ME)
    with pytest.raises(TagError, match="is the primary"):
        tags.add("t", A, 0.1, ME)
    now = tags.deploy("t", B, ME)
    assert [(one.model, one.weight) for one in now.target.candidates] == [(C, 0.4)]
    assert tags.back("t", ME).target == tags.history("t")[-3].target


def test_what_was_not_deployed_can_be_noted(tags: Tags) -> None:
    tags.deploy("t", A, ME)
    held = tags.hold("t", By("guard", "loss", {"window": 0.9}))
    assert (held.action, held.primary, held.figures) == ("held", A, {"window": 0.9})


@pytest.mark.parametrize("name", ["live", "", "Fraud", "a/b", ".hidden", "../x"])
def test_a_tag_has_a_plain_name(tags: Tags, name: str) -> None:
    with pytest.raises(CheckpointError, match=r"another name|expected up to 100"):
        tags.deploy(name, A, ME)


def test_an_unknown_tag_names_those_that_there_are(tags: Tags) -> None:
    tags.deploy("fraud.production", A, ME)
    with pytest.raises(TagError, match=r"there are: fraud\.production"):
        tags.history("fraud")
    with pytest.raises(TagError, match="deploy a model under it first"):
        tags.back("fraud", ME)


def test_what_others_deploy_is_seen(tags: Tags, tmp_path: Path) -> None:
    tags.deploy("t", A, ME)
    other = Tags(open_store(str(tmp_path)))
    assert other.current("t") == tags.current("t")
    entry = other.deploy("t", B, ME)
    assert tags.current("t") == entry
    assert tags.back("t", ME).previous == B


def test_writers_at_once_come_one_after_the_other(tags: Tags) -> None:
    tags.deploy("t", A, ME)
    failed: list[BaseException] = []

    def change(model: str) -> None:
        try:
            for _ in range(10):
                tags.deploy("t", model, ME)
                tags.deploy("t", "live", ME)
        except BaseException as error:  # noqa: BLE001 told below
            failed.append(error)

    writers = [threading.Thread(target=change, args=(model,)) for model in (B, C, D)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failed == []
    history = tags.history("t")
    assert [entry.number for entry in history] == list(range(len(history)))
    assert [entry.previous for entry in history[1:]] == [entry.primary for entry in history[:-1]]


def test_so_many_steps_can_be_taken_back(tags: Tags) -> None:
    for number in range(BACK_STEPS + 5):
        tags.deploy("t", f"sha256.{number:064x}", ME)
    now = tags.current("t")
    assert now is not None
    assert len(now.before) == BACK_STEPS
    assert now.before[0].primary == f"sha256.{BACK_STEPS + 3:064x}"


def test_a_damaged_entry_is_named(tags: Tags, tmp_path: Path) -> None:
    tags.deploy("t", A, ME)
    (tmp_path / "ledgers" / "tags" / "t" / "00000000.json").write_bytes(b"{")
    with pytest.raises(CheckpointDamaged, match="'t'"):
        Tags(open_store(str(tmp_path))).current("t")
