"""Beginning to learn, following, giving way: one checkpoint store, and services that take turns in one process."""

from pathlib import Path

import pytest

from checkpoints.errors import HeadMoved
from stream_app import wiring
from stream_app.journal import Journal
from stream_app.keeping import Keeper
from stream_app.live_keeper import LiveKeeper
from stream_app.membership import Alone
from stream_app.settings import Settings, StateSettings
from stream_app.sources.memory import MemorySource
from stream_app.sources.source import Records
from stream_app.state_folder import StateFolder
from stream_app.succession import MOST_INTRUSIONS, Succession
from stream_app.trainer import Trainer

EVENT = b'{"label": 1, "features": {"a": %d}}'


class Turns(Alone):
    """A membership whose turns the test decides."""

    is_shared = True

    def __init__(self) -> None:
        self.turn = 1
        self.is_doubted = False

    def doubt(self) -> None:
        self.is_doubted = True


class Candidate:
    """What a service consists of that matters to succession."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        learner = wiring.build_learner(settings)
        self.state = StateFolder(Settings(state=StateSettings(dir=str(folder))))
        format_ = wiring.build_format(settings, learner.traits)
        self.trainer: Trainer = wiring.build_trainer(settings, learner, format_, self.state.dead_letters)
        self.journal: Journal = self.state.journal
        keeper = Keeper(self.trainer, wiring.build_store(settings), settings.checkpoints, None)
        self.source = MemorySource([EVENT % number for number in range(30)], partitions=2)
        self.source.keeps_order = False  # as Kafka
        self.turns = Turns()
        self.keeper = LiveKeeper(keeper, self.journal, None, lambda position, took_s: self.turns.note(position))
        self.succession = Succession(self.trainer, self.source, self.keeper, self.journal, self.turns)

    async def learn(self, first: int, count: int) -> None:
        self.journal.note(0, first, count)
        records = Records(0, first, [EVENT % number for number in range(first, first + count)], 0.0)
        assert list(self.trainer.learn(records)) == []


@pytest.fixture
def pair(settings_in, tmp_path: Path) -> tuple[Candidate, Candidate]:
    return Candidate(settings_in(), tmp_path / "one"), Candidate(settings_in(), tmp_path / "other")


async def test_whoever_learns_has_begun_with_a_checkpoint_of_its_own(pair: tuple[Candidate, Candidate]) -> None:
    one, other = pair
    assert await one.succession.begin()
    begun = one.keeper.head
    assert begun is not None
    assert one.journal.begins_at(begun)
    assert await other.succession.begin()
    assert other.keeper.head not in (None, begun)
    with pytest.raises(HeadMoved):
        await one.keeper.begin_from(one.trainer.snapshot().checkpoint(), "a zombie")


async def test_what_one_has_saved_the_other_goes_on_from(pair: tuple[Candidate, Candidate]) -> None:
    one, other = pair
    await one.succession.begin()
    assert one.succession.order() == []
    await one.learn(0, 10)
    saved = await one.keeper.save("test")
    await other.succession.stand_by()
    assert (other.keeper.head, other.trainer.position) == (saved, {0: 10, 1: 0})
    await one.learn(10, 10)
    await other.succession.begin()
    assert other.trainer.begun == other.keeper.head
    assert other.succession.order() == []
    taken_over = await other.keeper.load(str(other.keeper.head))
    assert taken_over.manifest.order_lost_at == {0: 10, 1: 0}, "also where it is killed before it saves again"
    await other.learn(10, 5)
    assert (await other.keeper.load(await other.keeper.save("test"))).manifest.order_lost_at == {0: 10, 1: 0}


async def test_where_all_was_learnt_no_order_is_lost(pair: tuple[Candidate, Candidate]) -> None:
    one, other = pair
    await one.succession.begin()
    one.succession.order()
    await one.learn(0, 30)
    await one.keeper.save("test")
    await other.succession.begin()
    assert (await other.keeper.load(str(other.keeper.head))).manifest.order_lost_at is None


async def test_one_that_comes_back_follows_the_order_that_it_noted(pair: tuple[Candidate, Candidate]) -> None:
    one, _ = pair
    await one.succession.begin()
    one.succession.order()
    await one.learn(0, 10)
    saved = await one.keeper.save("test")
    await one.learn(10, 7)
    one.succession.is_learning = False
    one.trainer.restore(await one.keeper.load(saved))
    await one.succession.begin()
    assert one.keeper.head == saved
    assert one.succession.order() == [(0, 7)]


async def test_giving_way_is_following_the_one_that_saved(pair: tuple[Candidate, Candidate]) -> None:
    one, other = pair
    await one.succession.begin()
    one.succession.order()
    await one.learn(0, 10)
    await other.succession.begin()
    one.turns.turn = 0
    assert one.succession.is_over
    await one.succession.give_way(None)
    assert (one.succession.is_learning, one.keeper.head) == (False, other.keeper.head)
    assert one.trainer.position == {0: 0, 1: 0}


async def test_where_another_one_has_saved_the_turn_is_doubted(pair: tuple[Candidate, Candidate]) -> None:
    one, other = pair
    await one.succession.begin()
    await other.succession.begin()
    await one.succession.give_way(HeadMoved("the other one saved"))
    assert one.turns.is_doubted
    assert one.keeper.head == other.keeper.head


async def test_a_store_where_strangers_save_is_not_fought_over_for_ever(pair: tuple[Candidate, Candidate]) -> None:
    one, _ = pair
    await one.succession.begin()
    for _ in range(MOST_INTRUSIONS):
        await one.succession.give_way(HeadMoved("once more"))
    with pytest.raises(HeadMoved, match="too often"):
        await one.succession.give_way(HeadMoved("too often"))


async def test_a_beginning_that_cannot_be_recorded_is_told_and_leaves_nothing_behind(
    settings_in, tmp_path: Path
) -> None:
    one = Candidate(settings_in(checkpoints={"url": str(tmp_path / "file")}), tmp_path / "one")
    (tmp_path / "file").write_bytes(b"no folder")
    assert not await one.succession.begin()
    assert "learning cannot begin" in str(one.succession.failure)
    assert not await one.succession.begin(), "not tried again at once"
    (tmp_path / "file").unlink()
    one.succession._tried_at = 0.0
    assert await one.succession.begin()
    assert one.succession.failure is None


async def test_alone_nobody_else_may_save(settings_in, tmp_path: Path) -> None:
    one = Candidate(settings_in(), tmp_path / "one")
    one.turns.is_shared = False
    await one.succession.begin()
    assert one.keeper.head is None
    with pytest.raises(HeadMoved):
        await one.succession.give_way(HeadMoved("another service saves here"))
