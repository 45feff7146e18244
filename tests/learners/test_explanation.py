"""Every feature and interaction by name, summing to VW's own raw score and to river's; shared among raw fields."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_vw_weights import GRAMS, INTERACTIONS, LINEAR, learnt, lines

from formats.example import Example
from formats.vw_text import escape
from learners.explanation import (
    CONSTANT,
    ROUNDING,
    Contribution,
    Explanation,
    FieldContribution,
    Score,
    Term,
    collisions,
    explained,
)
from learners.learner import LearnerError
from learners.river import River
from learners.vw import VW

SCALED = "preprocessing.StandardScaler() | linear_model."
RIVER = {
    SCALED + "LogisticRegression()": "binary",
    "linear_model.LogisticRegression(l2=0.1)": "binary",
    "(compose.SelectType(Number) | preprocessing.StandardScaler())"
    " + (compose.SelectType(str) | preprocessing.OneHotEncoder()) | linear_model.LogisticRegression()": "binary",
    SCALED + "LinearRegression()": "regression",
    SCALED + "Perceptron()": "binary",
    "compose.SelectType(Number) | feature_extraction.PolynomialExtender() | linear_model.LinearRegression()":
        "regression",
}  # fmt: skip


def rounding_of(found: Explanation) -> float:
    """How far VW's single precision may be from the exact sum: a few units in the last place of what it adds up."""
    return max(1e-6, 1e-6 * sum(abs(row.contribution) for row in found.contributions))


def by_name(found: Explanation) -> dict[str, float]:
    return {one.field: one.contribution for one in found.fields}


@pytest.mark.parametrize(
    "args", LINEAR + INTERACTIONS + GRAMS + ["--link glf1", "--classweight 1:2", "--sparse_weights"]
)
def test_named_rows_and_fields_sum_to_the_raw_score(args: str) -> None:
    vw, examples, _ = learnt(args, lines())
    for example in examples[:40]:
        found = explained(vw.score(example))
        assert sum(row.contribution for row in found.contributions) == pytest.approx(found.raw, abs=1e-6)
        assert sum(field.contribution for field in found.fields) == pytest.approx(found.raw, abs=2e-6)
        named = sum(row.contribution for row in found.contributions if row.feature != ROUNDING)
        assert named == pytest.approx(found.raw, abs=rounding_of(found) * (5 if "--l" in args else 1))


@pytest.mark.parametrize(
    "args", ["", "-q :: --link logistic --loss_function logistic", "--cubic fst --noconstant", "--ftrl -q fs --binary"]
)
def test_the_raw_score_is_the_one_that_vw_writes_with_r(args: str, tmp_path: Path) -> None:
    text = lines(args)
    (tmp_path / "data.vw").write_bytes(b"\n".join(text) + b"\n")
    command = [sys.executable, "-m", "vowpalwabbit", "-d", "data.vw", "--quiet", *args.split(), "-r", "raw"]
    subprocess.run(command, cwd=tmp_path, check=True)
    theirs = [float(line.split()[0]) for line in (tmp_path / "raw").read_text().splitlines()]
    vw, examples, _ = learnt(args, [])[0], learnt(args, text)[1], None
    ours = []
    for example in examples:
        ours.append(explained(vw.score(example)).raw)
        vw.learn([example])
    assert ours[10:] == pytest.approx(theirs[10:], abs=2e-6)


names = st.text(st.sampled_from("ab=^%é|: *1"), min_size=1, max_size=3)


@given(st.lists(st.tuples(st.sampled_from("fgs"), names, st.floats(-9, 9, width=32)), min_size=1, max_size=9))
@pytest.mark.parametrize("args", ["-q ::", "--cubic ffg -q fs", "--interactions fgs --permutations", "--ngram 2 -q fg"])
def test_rows_sum_to_the_raw_score_whatever_the_event(args: str, features: list[tuple[str, str, float]]) -> None:
    text = b"1 " + " ".join(f"|{space} {escape(name)}:{value:.4f}" for space, name, value in features).encode()
    vw = VW(f"{args} -l 0.01 -b 10")
    example = Example(1.0, 1.0, text)
    vw.learn([example] * 3)
    found = explained(vw.score(example))
    assert sum(row.contribution for row in found.contributions) == pytest.approx(found.raw, abs=1e-6)
    named = sum(row.contribution for row in found.contributions if row.feature != ROUNDING)
    assert named == pytest.approx(found.raw, abs=rounding_of(found))


def test_an_interaction_is_named_by_its_parts_and_shared_among_its_fields() -> None:
    vw = VW("-q fg -b 18")
    example = Example(1.0, 1.0, b"1 |f Origin=MCO |g Dest=LAX Far:2")
    vw.learn([example] * 5)
    found = explained(vw.score(example))
    rows = {row.feature: row.contribution for row in found.contributions}
    assert set(rows) == {
        "f^Origin=MCO", "g^Dest=LAX", "g^Far", "Constant", "f^Origin=MCO*g^Dest=LAX", "f^Origin=MCO*g^Far",
    }  # fmt: skip
    shared = rows["f^Origin=MCO*g^Dest=LAX"] / 2
    assert by_name(found)["g^Dest"] == pytest.approx(rows["g^Dest=LAX"] + shared)
    assert by_name(found)["f^Origin"] == pytest.approx(rows["f^Origin=MCO"] + shared + rows["f^Origin=MCO*g^Far"] / 2)
    sizes = [abs(row.contribution) for row in found.contributions]
    assert sizes == sorted(sizes, reverse=True)


def test_all_tokens_of_one_field_and_its_products_with_itself_are_one_field() -> None:
    vw = VW("-q ff --ngram 2 -b 18")
    example = Example(1.0, 1.0, b"1 |f word=a word=b")
    vw.learn([example] * 3)
    found = explained(vw.score(example))
    assert {"f^word=a^word=b", "f^word=a*f^word=b"} <= {row.feature for row in found.contributions}
    assert set(by_name(found)) == {"f^word", "Constant"}


def test_reasons_are_the_strongest_fields_for_and_against_and_never_the_constant() -> None:
    terms = [Term(name, (name,), name, 1.0, weight) for name, weight in zip("abcdef", [1, 4, -2, 3, 2, 0], strict=True)]
    found = explained(Score(18.0, [*terms, Term(CONSTANT, (CONSTANT,), 0, 1.0, 10.0)]))
    assert [one.field for one in found.reasons.for_] == ["b", "d", "e"]
    assert found.reasons.against == [FieldContribution("c", -2.0)]
    assert set(json.loads(msgspec.json.encode(found))["reasons"]) == {"for", "against"}


def test_what_rounding_makes_of_the_sum_is_a_row_of_its_own() -> None:
    found = explained(Score(3.0, [Term("a", ("a",), 1, 2.0, 1.0)]))
    assert found.contributions[1] == Contribution(ROUNDING, 1.0, 1.0, 1.0)
    assert found.reasons.for_ == [FieldContribution("a", 2.0)]


def test_features_that_share_a_weight_are_counted_and_repeats_are_not() -> None:
    assert collisions([(1, "a"), (1, "a"), (2, "b")]) == 0
    vw = VW("-b 3")
    example = Example(1.0, 1.0, b"1 |f " + b" ".join(b"a%d" % number for number in range(30)))
    found = explained(vw.score(example))
    assert found.collisions > 20
    assert explained(VW("-b 20").score(example)).collisions == 0


def test_explaining_leaves_the_learner_as_it_was() -> None:
    vw, examples, _ = learnt("-q fs --l1 0.001", lines())
    before = vw.state()
    for example in examples:
        explained(vw.score(example))
    assert vw.state() == before


def test_a_learner_that_went_on_is_explained_as_it_is_now() -> None:
    vw, examples, _ = learnt("--l1 0.001 --l2 0.001", lines())
    explained(vw.score(examples[0]))
    vw.learn(examples)
    found = explained(vw.score(examples[0]))
    assert sum(row.contribution for row in found.contributions if row.feature != ROUNDING) == pytest.approx(
        found.raw, abs=1e-5
    )


def test_a_restored_learner_is_explained_by_its_new_weights() -> None:
    vw, examples, _ = learnt("-q fs", lines())
    restored = VW("-q fs")
    explained(restored.score(examples[0]))
    restored.restore(vw.state())
    assert restored.score(examples[0]) == vw.score(examples[0])


@pytest.mark.parametrize("expression", RIVER)
def test_rows_of_a_linear_river_pipeline_sum_to_its_raw_score(expression: str) -> None:
    learner = River(expression, RIVER[expression])  # type: ignore[arg-type]
    text = {"city": "x"} if "str" in expression else {}
    examples = [
        Example(float(number % 2), 1.0, b"", {"": {"a": number / 7, "b": 2.5}, "f": {"c": float(number % 3), **text}})
        for number in range(60)
    ]
    learner.learn(examples)
    before = learner.state()
    found = explained(learner.score(examples[5]))
    assert sum(row.contribution for row in found.contributions) == pytest.approx(found.raw, rel=1e-12, abs=1e-9)
    assert {one.field for one in found.fields} == {"a", "b", "f^c", CONSTANT, *(["f^city"] if text else [])}
    assert learner.state() == before
    prediction = learner.predict(examples[5])
    if RIVER[expression] == "regression":
        assert prediction == pytest.approx(found.raw)


def test_a_river_tree_says_that_it_cannot_be_explained() -> None:
    with pytest.raises(LearnerError, match="HoeffdingTreeClassifier cannot be explained"):
        River("tree.HoeffdingTreeClassifier()").score(Example(features={"": {"a": 1.0}}))
