"""VW's text format, its whole grammar."""

import io

import pytest
from format_samples import only, reason

from formats.example import FormatError
from formats.labels import Labels
from formats.vw_text import Section, VwText, sections


@pytest.mark.parametrize(
    ("line", "label", "weight"),
    [
        (b"1 |f a", 1.0, 1.0),
        (b"-1.5 2 |f a", -1.5, 2.0),
        (b"1 0.5 3 |f a", 1.0, 0.5),
        (b"1 0.5 3 'tag|f a", 1.0, 0.5),
        (b"1 'tag |f a", 1.0, 1.0),
        (b"1 tag|f a", 1.0, 1.0),
        (b"tag|f a", None, 1.0),
        (b"1|f a", None, 1.0),
        (b"'1 |f a", None, 1.0),
        (b"|f a", None, 1.0),
        (b" |f a", None, 1.0),
        (b"  1  2  |f a", 1.0, 2.0),
        (b"1e-3 |f a", 0.001, 1.0),
        (b"+2 |f a", 2.0, 1.0),
    ],
)
def test_label_weight_and_tag_are_read_as_vw_reads_them(line: bytes, label: float | None, weight: float) -> None:
    example = only(VwText(Labels()).decode([line]))
    assert (example.label, example.weight, example.text) == (label, weight, line)


@pytest.mark.parametrize(
    ("line", "label", "text"),
    [
        (b"\xef\xbb\xbf1 |f a", 1.0, b"1 |f a"),
        (b"\xef\xbb\xbf|f a", None, b"|f a"),
        (b"\t1 |f a", 1.0, b"\t1 |f a"),
        (b"key\t1 2 |f a", 1.0, b"key\t1 2 |f a"),
        (b"1 |f b a:0.7\x00", 1.0, b"1 |f b a:0.7"),
        (b"1 |f a\x00", 1.0, b"1 |f a\x00"),
    ],
)
def test_what_vw_passes_over_is_passed_over(line: bytes, label: float | None, text: bytes) -> None:
    example = only(VwText(Labels()).decode([line]))
    assert (example.label, example.text) == (label, text)


@pytest.mark.parametrize(("line", "weight"), [(b"cat |f a", 1.0), (b"cat 2 |f a", 2.0), (b"cat  0.5 't|f a", 0.5)])
def test_a_class_by_its_name_may_have_a_weight(line: bytes, weight: float) -> None:
    assert only(VwText(Labels("text")).decode([line])).weight == weight


def test_an_action_without_a_cost_is_no_label_of_its_group() -> None:
    group = b"0 |f a\n1:0.5:0.2 |f b"
    assert only(VwText(Labels("bandit"), is_multiline=True).decode([group])).label == "1:0.5:0.2"


def test_a_line_of_blanks_in_a_group_is_refused_as_vw_would_take_it_for_an_action() -> None:
    assert "a line of blanks" in reason(VwText(Labels("bandit"), is_multiline=True).decode([b"|f a\n \n|f b"]))


@pytest.mark.parametrize(
    ("line", "features"),
    [
        (b"| a b:2", {"": {"a": 1.0, "b": 2.0}}),
        (b"|f a |g b", {"f": {"a": 1.0}, "g": {"b": 1.0}}),
        (b"|f:2 a:1.5 b", {"f": {"a": 3.0, "b": 2.0}}),
        (b"|f a=x b=", {"f": {"a": "x", "b": ""}}),
        (b"|f a=x:2", {"f": {"a=x": 2.0}}),
        (b"|f a |f b", {"f": {"a": 1.0, "b": 1.0}}),
        (b"|f%20g a%7Cb=c%3Ad", {"f g": {"a|b": "c:d"}}),
        (b"|f\ta\t b", {"f": {"a": 1.0, "b": 1.0}}),
        (b"|", {"": {}}),
    ],
)
def test_features_are_read_for_other_learners(line: bytes, features: object) -> None:
    assert only(VwText(Labels(), "features").decode([line])).features == features


def test_sections_keep_the_names_that_vw_hashes() -> None:
    assert list(sections(b"1 |n%20s:2 a%7C:1.5 b=x")) == [Section("n%20s", [("a%7C", 3.0), ("b=x", 2.0)])]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", ["empty line"]),
        (b" \t ", ["empty line"]),
        (b"1 f a", ["no '|'", "1 f a"]),
        (b"YES |f a", ["label", "'YES'", "finite number"]),
        (b"nan |f a", ["label", "'nan'"]),
        (b"inf |f a", ["label", "'inf'"]),
        (b"1_0 |f a", ["label", "'1_0'"]),
        (b"1e400 |f a", ["label", "inf", "finite"]),
        (b"1 -2 |f a", ["weight", "-2", "0 to"]),
        (b"1 1 x |f a", ["initial", "'x'"]),
        (b"1 1 1 1 |f a", ["at most", "1 1 1 1"]),
        (b"1\t|f a", ["tab"]),
        (b"1\t2 |f a", ["tab"]),
        (b"x\ty\t1 |f a", ["tab"]),
        (b"1 |f a:0.7\x00 b", ["f^a", "0.7\\x00"]),
        (b"1 |f a:", ["f^a", "''"]),
        (b"1 |f a:1:2", ["f^a", "'1:2'"]),
        (b"1 |f a:1_0 b", ["f^a", "'1_0'"]),
        (b"1 |f:x a", ["namespace 'f'", "'x'"]),
        (b"1 |:2 a", ["namespace", "without a name"]),
        (b"1 |f a:1e16", ["f^a", "1e+16", "1e+15"]),
        (b"1 |f:1000 a:99999999999999", ["f^a", "too large"]),
        (b"1 |f a:1e-129", ["f^a", "'1e-129'", "VW can read"]),
        (b"1e-259 |f a", ["label", "'1e-259'", "VW can read"]),
        (b"1 |f a:0.%s" % (b"1" * 40), ["f^a", "at most 32"]),
        (b"1 |f a\rb", ["carriage return"]),
        (b"1 |f a\n2 |f b", ["one line", "2"]),
    ],
)
def test_what_vw_would_misread_is_refused_with_field_and_value(line: bytes, words: list[str]) -> None:
    said = reason(VwText(Labels()).decode([line]))
    assert all(word in said for word in words), said


@pytest.mark.parametrize("line", [b"1 |f a\n", b"1 |f a\r\n", b"\n1 |f a", b"1 |f a\r"])
def test_line_ends_are_not_part_of_a_line(line: bytes) -> None:
    assert only(VwText(Labels()).decode([line])).text == b"1 |f a"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"4 |f a", ["4", "1 to 3"]),
        (b"1.7 |f a", ["'1.7'", "class"]),
        (b"1.0 |f a", ["'1.0'", "digits"]),
        (b"-1 |f a", ["'-1'"]),
        (b"abc |f a", ["'abc'"]),
        (b"1 2 3 |f a", ["a class and a weight"]),
    ],
)
def test_a_class_that_vw_has_not_is_refused(line: bytes, words: list[str]) -> None:
    said = reason(VwText(Labels("class", 3)).decode([line]))
    assert all(word in said for word in ["label", *words]), said


@pytest.mark.parametrize("label", ["x:y:z", "1:nan:0.5", "1:1:0", "1:1:1.5", "-1:1:0.5", "1:1:1:1", "1.5:1:0.5"])
def test_a_bandit_label_that_vw_would_take_for_another_is_refused(label: str) -> None:
    assert "label" in reason(VwText(Labels("bandit")).decode([f"{label} |f a".encode()]))


@pytest.mark.parametrize("label", ["1:2:0.5", "1", "2:-1:1", "1:0.5:0.25 2:1:0.5", "shared"])
def test_bandit_labels_pass_as_they_stand(label: str) -> None:
    assert only(VwText(Labels("bandit")).decode([f"{label} |f a".encode()])).label == label


@pytest.mark.parametrize("label", ["-1:1", "1:1e40", "1:inf", "1.5", "1,nan", "1:x"])
def test_label_text_that_would_end_vw_or_its_weights_is_refused(label: str) -> None:
    assert "label" in reason(VwText(Labels("text")).decode([f"{label} |f a".encode()]))


GROUP = b"shared |s x=1\n|a y=1\n1:0.5:0.25 |a y=2"


def test_a_group_is_one_example() -> None:
    example = only(VwText(Labels("bandit"), is_multiline=True).decode([GROUP + b"\n\n"]))
    assert (example.text, example.label) == (GROUP, "1:0.5:0.25")
    features = only(VwText(Labels("bandit"), "features", is_multiline=True).decode([GROUP]))
    assert features.features == {"s": {"x": "1"}}
    assert features.actions == [{"a": {"y": "1"}}, {"a": {"y": "2"}}]


@pytest.mark.parametrize(
    ("group", "word"),
    [(b"1:1:0.5 |a\n2:1:0.5 |b", "2 actions"), (b"shared |s x", "shared"), (b"", "empty"), (b"|a b:x", "a^b")],
)
def test_a_group_that_vw_refuses_or_merges_is_dead(group: bytes, word: str) -> None:
    assert word in reason(VwText(Labels("bandit"), is_multiline=True).decode([group]))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("is_last_ended", [True, False])
def test_a_file_is_cut_into_its_lines(end: bytes, is_last_ended: bool) -> None:
    data = end.join([b"1 |f a", b"", b"2 |f b", b"3 |f c"]) + (end if is_last_ended else b"")
    assert list(VwText(Labels()).split(io.BytesIO(data))) == [b"1 |f a", b"2 |f b", b"3 |f c"]


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 2])
def test_a_line_end_across_two_reads_is_still_a_line_end(offset: int) -> None:
    first = b"1 |f " + b"x" * ((1 << 18) - 6 + offset)
    data = first + b"\r\n" + b"2 |f b\n"
    assert list(VwText(Labels()).split(io.BytesIO(data))) == [first, b"2 |f b"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_file_of_groups_is_cut_at_its_empty_lines(end: bytes) -> None:
    data = end.join([b"", b"shared |s", b"|a", b"", b"", b"|b", b"|c"])
    assert list(VwText(Labels("bandit"), is_multiline=True).split(io.BytesIO(data))) == [b"shared |s\n|a", b"|b\n|c"]


def test_a_label_is_joined_before_the_tag() -> None:
    format_ = VwText(Labels())
    assert format_.labelled(b"|f a", 1) == b"1 |f a"
    assert only(format_.decode([format_.labelled(b"tag|f a", 0.5)])).label == 0.5


@pytest.mark.parametrize(("line", "label"), [(b"1 |f a", 0), (b"|f a", "YES"), (b"f a", 1)])
def test_a_label_that_cannot_be_joined_is_refused(line: bytes, label: object) -> None:
    with pytest.raises(FormatError):
        VwText(Labels()).labelled(line, label)
