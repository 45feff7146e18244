import msgspec
import pytest
from checkpoint_samples import manifest, noted
from hypothesis import given
from hypothesis import strategies as st

from checkpoints.checkpoint import Summary
from checkpoints.errors import CheckpointError
from checkpoints.lineage import lineage, newest_first, resolve, superfluous


def name(number: int) -> str:
    return f"sha256.{number:064x}"


def summary(number: int, parent: int | None = None, created_at: float | None = 1.0) -> Summary:
    read = manifest(parent=None if parent is None else name(parent))
    return Summary(name(number), None if created_at is None else noted(created_at), 1, read)


def damaged(number: int) -> Summary:
    return Summary(name(number), None, 0, None, "MODEL.json is missing")


def ids(summaries: list[Summary]) -> list[int]:
    return [int(one.id[7:], 16) for one in summaries]


def test_the_newest_created_comes_first() -> None:
    assert ids(newest_first([summary(1, created_at=5), summary(2, created_at=7), summary(3, created_at=6)])) == [
        2,
        3,
        1,
    ]


def test_a_clock_that_was_set_back_does_not_put_a_parent_before_its_child() -> None:
    assert ids(newest_first([summary(1, created_at=9), summary(2, 1, created_at=3), summary(3, 2, created_at=1)])) == [
        3,
        2,
        1,
    ]


def test_what_cannot_be_read_comes_last() -> None:
    assert ids(newest_first([damaged(1), summary(2, created_at=None), summary(3)])) == [3, 2, 1]


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 100) | st.none()), max_size=30))
def test_every_listing_holds_all_and_each_child_before_its_parent(nodes: list[tuple[int, float | None]]) -> None:
    tree = [summary(child + 1, min(parent, child), at) for child, (parent, at) in enumerate(nodes)]
    order = newest_first(tree)
    assert sorted(ids(order)) == sorted(ids(tree))
    place = {one.id: row for row, one in enumerate(order)}
    for one in tree:
        assert one.manifest is not None
        assert place[one.id] < place.get(one.manifest.parent or "", len(tree))


def test_a_lineage_ends_where_the_parent_is_not_kept() -> None:
    assert ids(lineage(name(3), [summary(3, 2), summary(2, 1), summary(7, 1)])) == [3, 2]
    assert lineage(None, [summary(1)]) == []


def test_nothing_may_go_while_a_damaged_manifest_hides_the_lineage() -> None:
    listed = [summary(4, 3), damaged(3), summary(2, 1), summary(1)]
    assert superfluous(name(4), listed, 3, (), ()) == []
    assert superfluous(name(4), listed, 2, (), ()) == []
    assert superfluous(name(4), listed, 1, (), ()) == [name(3), name(2), name(1)]
    assert superfluous(name(9), listed, 1, (), ()) == []


def test_a_damaged_package_behind_the_kept_ones_may_go() -> None:
    assert superfluous(name(4), [summary(4, 3), summary(3, 2), damaged(2)], 2, (), ()) == [name(2)]


class Listed(msgspec.Struct):
    """A store of which only the listing is asked."""

    summaries: list[Summary]

    def list(self) -> list[Summary]:
        return self.summaries


def test_an_ambiguous_prefix_lists_the_candidates() -> None:
    two = [Summary("sha256." + "ab" * 31 + end, None, 0, None) for end in ("00", "01")]
    with pytest.raises(CheckpointError, match="ambiguous") as caught:
        resolve(Listed(two), "abababab")
    assert all(one.id.removeprefix("sha256.")[:63] in str(caught.value) for one in two)
    assert resolve(Listed(two), "ab" * 31 + "01") == two[1].id
