"""Every learner configuration that the contract is checked on, and a stream for each."""

import random
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
import orjson

from formats.example import Example
from formats.json_event import JsonEvent
from formats.labels import Labels
from formats.vw_text import VwText
from learners.learner import Learner, Learnt
from learners.river import River
from learners.vw import VW

SCALED = "preprocessing.StandardScaler() | linear_model."
MIXED = (
    "(compose.SelectType(Number) | preprocessing.StandardScaler())"
    " + (compose.SelectType(str) | preprocessing.OneHotEncoder()) | linear_model.LogisticRegression()"
)


class Case(msgspec.Struct, frozen=True):
    """One configuration. `has_text` and `weights` say what its stream may hold."""

    make: Callable[[], Learner]
    has_text: bool = True
    has_weights: bool = True
    is_traceless: bool = True
    """False for `--bootstrap`, which draws a random number at every predict, and so is not exact."""
    predicts_first: bool = True
    """Whether predict right before learn gives what learn gives. Not where VW clips to the costs seen until now
    (the current one included), and not for `--lrq`, which starts its weights when it first learns."""


def vw(arguments: str, **settings: bool) -> Case:
    return Case(partial(VW, f"{arguments} -b 12"), **settings)


def river(expression: str, task: str = "binary", has_text: bool = False) -> Case:
    return Case(partial(River, expression, task), has_text=has_text, has_weights=False)  # type: ignore[arg-type]


CASES: dict[str, Case] = {
    "vw": vw(""),
    "vw sgd": vw("--sgd"),
    "vw ftrl": vw("--ftrl"),
    "vw coin": vw("--coin"),
    "vw quadratic": vw("-q ff"),
    "vw oaa": vw("--oaa 3"),
    "vw ngram": vw("--ngram 2"),
    "vw l1 l2": vw("--l1 1e-4 --l2 1e-4"),
    "vw logistic": vw("--loss_function logistic"),
    "vw logistic link": vw("--loss_function logistic --link logistic"),
    "vw hinge": vw("--loss_function hinge"),
    "vw quantile": vw("--loss_function quantile --quantile_tau 0.3"),
    "vw adaptive": vw("--adaptive --power_t 0.3"),
    "vw noconstant": vw("--noconstant"),
    "vw marginal": vw("--marginal f"),
    "vw cb": vw("--cb 3", has_weights=False),
    "vw cb adf": vw("--cb_adf", has_weights=False),
    "vw cb explore adf": vw("--cb_explore_adf", has_weights=False),
    "vw cb adf dr": vw("--cb_adf --cb_type dr", has_weights=False),
    "vw csoaa": vw("--csoaa 3", has_weights=False, predicts_first=False),
    "vw oaa sgd": vw("--oaa 3 --sgd"),
    "vw oaa ftrl": vw("--oaa 3 --ftrl"),
    "vw lists": vw("--ngram f2 --skips f1 --lrq ff2 --ignore g --keep f", predicts_first=False),
    "vw nn": vw("--nn 3"),
    "vw bootstrap": vw("--bootstrap 3", is_traceless=False, predicts_first=False),
    "river logistic": river(SCALED + "LogisticRegression()"),
    "river mixed": river(MIXED, has_text=True),
    "river tree": river("tree.HoeffdingTreeClassifier(grace_period=50)", has_text=True),
    "river linear": river(SCALED + "LinearRegression()", "regression"),
    "river bayes": river("naive_bayes.GaussianNB()", "multiclass"),
    "river forest": river("forest.ARFClassifier(n_models=2, seed=7)"),
}

# VW saves the sums that normalise the default updates for the first of several models only.
NOT_EXACT = {"vw oaa", "vw csoaa", "vw cb adf dr", "vw nn", "vw bootstrap"}
TRACELESS = [name for name, case in CASES.items() if case.is_traceless]
EXACT = [name for name in CASES if name not in NOT_EXACT]


def stream(name: str, n: int = 300, seed: int = 1) -> list[Example]:
    """Examples that the configuration can learn, decoded by the format that the service would use."""
    case = CASES[name]
    traits = case.make().traits
    draw = random.Random(f"{name}{seed}")
    if traits.is_multiline:
        return decode(VwText(Labels(traits.label_kind), "text", True), [group(draw) for _ in range(n)])
    if traits.label_kind in ("bandit", "text"):
        return decode(VwText(Labels(traits.label_kind, traits.classes)), [bandit_line(name, draw) for _ in range(n)])
    labels = [draw.choice(labels_of(name, traits.is_signed, traits.label_kind)) for _ in range(n)]
    labels[:2] = labels_of(name, traits.is_signed, traits.label_kind)[:2]
    events = [event(case, draw, label, number / n) for number, label in enumerate(labels)]
    return decode(JsonEvent(Labels(traits.label_kind, traits.classes), None, traits.reads), map(orjson.dumps, events))


def labels_of(name: str, is_signed: bool, kind: str) -> list[int | None]:
    """The first two span the whole range: VW clips predictions to the labels seen, the current one included."""
    if kind == "class":
        return [1, 3, 2, None]
    return [-1, 1, None] if is_signed else [0, 1, None]


def event(case: Case, draw: random.Random, label: int | None, age: float) -> dict[str, object]:
    """Features that come and go: `early` disappears, `late` emerges, categories drift."""
    features: dict[str, object] = {"a": draw.gauss(0, 1), "b": draw.random(), ("early" if age < 0.5 else "late"): 1.5}
    if draw.random() < 0.2:
        features[f"rare{draw.randrange(9)}"] = draw.random()
    if case.has_text:
        features["f"] = {"c": f"{draw.choice('xyz')}{int(age * 4)}", "d": draw.choice("pq")}
    found: dict[str, object] = {"features": features}
    if label is not None:
        found["label"] = label
        if case.has_weights and draw.random() < 0.3:
            found["weight"] = draw.choice([0.5, 2, 3])
    return found


def bandit_line(name: str, draw: random.Random) -> bytes:
    label = f"{draw.randint(1, 3)}:{draw.random():.3f}" + (":0.5" if "cb" in name else "")
    return f"{label if draw.random() < 0.8 else ''} |f a:{draw.random():.3f} b={draw.choice('xyz')}".encode()


def group(draw: random.Random) -> bytes:
    taken = draw.randrange(4)
    lines = [f"shared |s u={draw.choice('pqr')}"]
    for action in range(3):
        label = f"{action}:{draw.random():.3f}:0.5 " if action == taken else ""
        lines.append(f"{label}|a x={action} y:{draw.random():.3f}")
    return "\n".join(lines).encode()


def decode(format_: JsonEvent | VwText, payloads: Sequence[bytes] | map) -> list[Example]:  # type: ignore[type-arg]
    decoded = format_.decode(list(payloads))
    assert decoded.dead == []
    return decoded.examples


def learn_in_batches(learner: Learner, examples: Sequence[Example], size: int) -> list[Learnt]:
    return [learner.learn(examples[start : start + size]) for start in range(0, len(examples), size)]


def after(name: str, examples: Sequence[Example]) -> Learner:
    """A learner of this configuration that has learnt these."""
    learner = CASES[name].make()
    learn_in_batches(learner, examples, 64)
    return learner


def resumed(name: str, state: bytes) -> Learner:
    learner = CASES[name].make()
    learner.restore(state)
    return learner
