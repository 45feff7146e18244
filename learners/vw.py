"""Vowpal Wabbit as a learner, on the fast path of its Python binding, which only the files `vw*.py` know.

The binding's own wrapper costs 5 us an example, so this calls `pylibvw` directly (version pinned): text of a whole
micro-batch is parsed at once, then each example is learnt, read and finished. An example is finished exactly once.
"""

import ctypes
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pylibvw

from formats.example import Example, LabelKind, text_of
from learners import vw_weights
from learners.explanation import Score
from learners.learner import Answer, Audit, Column, LearnerError, Learnt, Name, Rejected, Traits, Weights
from learners.vw_arguments import VWArguments
from learners.vw_bounds import Bounds
from learners.vw_console import Console, VWLog
from learners.vw_explanation import LINEAR, Terms
from learners.vw_groups import GroupKind, crash_reason, without_outcome
from learners.vw_predictions import Reading, classes
from learners.vw_state import copy_of, model_file, readable, state_of

# These draw random numbers when they predict, and VW's model holds where the sequence stands.
_DRAWING = frozenset(["cb_sample", "search_task", "cbzo", "emt", "automl"])
# One of these that is deleted spoils the memory of the process. It never is, also where the process ends, except in a
# bounded run: VW writes the last of its report when it is deleted.
_NOT_DELETED = frozenset(["pmf_to_pdf", "cats_tree"])
_NOT_REGULARISED = vw_weights.Regularised()
_GROUP_KINDS: dict[int, GroupKind] = {
    pylibvw.vw.lCostSensitive: "cost",
    pylibvw.vw.lConditionalContextualBandit: "ccb",
    pylibvw.vw.lSlates: "slates",
}


class VW:
    """`Learner` for any arguments of Vowpal Wabbit that learn from examples one by one.

    With a `console` it is a bounded run, which `finish` ends: VW's own header, table and summary go there, and VW
    itself writes the files that `reports` names, such as `-p FILE`, as on its command line.
    Raises LearnerError for arguments that VW refuses, or that would leave the stream, the process or the machine.
    """

    is_scored = True
    """Whether `learn` tells predictions and losses; NaN for a run of which only VW's own figures are wanted."""

    _copy: Any
    _copied: tuple[float, float]
    _terms: Terms | None
    _taken_off: tuple[tuple[float, float], vw_weights.Regularised] | None

    def __init__(self, arguments: str = "", console: Console | None = None, reports: Sequence[str] = ()) -> None:
        self._arguments = VWArguments(arguments)
        self._is_bounded = console is not None
        # VW ends a pass only over a source of its own: an empty one.
        self._reports = [*reports, "-d", os.devnull] if self._is_bounded else []
        self._bounds = Bounds.of(self._arguments)
        self._log = VWLog(console)
        self._silence = VWLog(None)
        self._reductions: set[str] = set()
        self._open([])
        self.traits = self._traits(arguments)

    @property
    def nan_predictions(self) -> int:
        """How often VW said that a prediction was not a number."""
        return self._log.nan_predictions

    def learn(self, examples: Sequence[Example]) -> Learnt:
        if not examples:
            return Learnt(np.empty(0), np.empty(0))
        if self.traits.is_multiline:
            return self._learn_groups(examples)
        if self.traits.label_kind != "number" or not self._reading.is_number:
            return self._learn_counted(examples)
        parsed = self._vw._parse(text_of(examples))
        if len(parsed) != len(examples):
            raise LearnerError(f"VW read {len(parsed)} examples from {len(examples)} lines: {examples[0].text[:80]!r}")
        return self._learn_scored(parsed) if self.is_scored else self._learn_unscored(parsed)

    def predict(self, example: Example) -> Answer:
        try:
            return self._predicted(example)
        except RuntimeError as error:
            raise LearnerError(f"VW: {error}") from error

    def _predicted(self, example: Example) -> Answer:
        answer = self._reading.answer
        if answer is None:
            raise LearnerError(f"predictions of VW with {self._arguments} cannot be served: nothing can read them")
        if "sample_pdf" in self._reductions:
            raise LearnerError(
                f"predictions of VW with {self._arguments} cannot be served: to draw an action changes the learner; "
                "use --cats_pdf, which learns the same and answers the density to draw from"
            )
        vw = self._predictor()
        # Examples made this way are freed by Python and never enter VW's statistics.
        if not self.traits.is_multiline:
            line = pylibvw.example(vw, self._label_type, _unlabelled(example.text))
            vw.predict(line)
            return answer(line)
        texts = without_outcome(self._group_kind, example.text)
        reason = crash_reason(self._group_kind, b"\n".join(texts))
        if reason is not None:
            raise LearnerError(reason)
        lines = [pylibvw.example(vw, self._label_type, text) for text in texts]
        vw.predict_multi(lines)
        if self._reading.is_class:
            return max(classes(lines)) if self._group_kind == "cost" else classes(lines)
        return answer(lines[0])

    def _predictor(self) -> Any:
        """What predicts: a copy of the learner as it is now, where to predict is to draw from VW's random numbers."""
        if self._reductions.isdisjoint(_DRAWING):
            return self._vw
        learnt = self._vw.get_weighted_examples(), self._vw.get_sum_loss()
        if self._copy is None or self._copied != learnt:
            self._copy = copy_of(self._vw, self._arguments.for_restore(), self._silence)
            self._copied = learnt
        return self._copy

    def probabilities(self, predictions: Column) -> Column:
        if self._is_probability:
            return np.clip(predictions, 0.0, 1.0)
        if self._loss == "logistic":
            return 1.0 / (1.0 + np.exp(-np.clip(predictions, -700.0, 700.0)))
        if self._loss == "hinge":
            return np.clip((predictions + 1.0) / 2.0, 0.0, 1.0)
        return np.clip(predictions, 0.0, 1.0)

    def state(self) -> bytes:
        return state_of(self._vw)

    def restore(self, state: bytes) -> None:
        with model_file(state) as path:
            self._open(["--preserve_performance_counters", "-i", str(path)])

    def unexplained(self) -> str | None:
        """See Explains."""
        if self.traits.is_multiline or not self._reading.is_score:
            return "only a VW learner with a single scalar score can be explained"
        other = sorted(name for name in self._reductions if not LINEAR.fullmatch(name))
        return f"VW's {', '.join(other)} cannot be explained: its score is no sum over features" if other else None

    def score(self, example: Example) -> Score:
        if (why := self.unexplained()) is not None:
            raise LearnerError(why)
        if self._terms is None:
            self._terms = Terms(self._model(""))
        line = pylibvw.example(self._vw, self._label_type, _unlabelled(example.text))
        self._vw.predict(line)
        return Score(line.get_partial_prediction(), self._terms.of(example.text, self._regularised().weight))

    def _regularised(self) -> vw_weights.Regularised:
        """Only VW's own model file tells how much is taken off weights now, so it is read once per state."""
        if {"--l1", "--l2"}.isdisjoint(self._arguments.options):
            return _NOT_REGULARISED
        learnt = self._vw.get_weighted_examples(), self._vw.get_sum_loss()
        if self._taken_off is None or self._taken_off[0] != learnt:
            self._taken_off = learnt, vw_weights.Regularised.of(self._readable())
        return self._taken_off[1]

    def weights(self, names: Iterable[Name], examples: Iterable[Example]) -> Weights:
        return vw_weights.weights(self._model(self._readable()), names, examples)

    def audit(self, examples: Iterable[Example]) -> Iterator[Audit]:
        if self.traits.is_multiline or not self._reading.is_score:
            raise LearnerError("audit: only a VW learner with a single scalar score can be audited")
        auditor = vw_weights.Auditor(self._model(self._readable()))
        for example in examples:
            line = pylibvw.example(self._vw, self._label_type, _unlabelled(example.text))
            self._vw.predict(line)
            yield auditor.audit(example, line.get_partial_prediction())

    def finish(self) -> None:
        """End the pass and learning, and have VW print its summary and write its files. Nothing may be called after."""
        if self._is_bounded:
            self._vw.run_parser()
        self._vw.finish()

    def _readable(self) -> str:
        return readable(self.state(), self._arguments.for_restore())

    def _model(self, text: str) -> vw_weights.VWModel:
        vw = self._vw
        return vw_weights.VWModel(
            vw.get_arguments(), text, self._hashed, vw.get_weight, vw.num_weights(), vw.get_stride()
        )

    def _hashed(self, line: bytes) -> vw_weights.Hashed:
        example = pylibvw.example(self._vw, self._label_type, _unlabelled(line))
        spaces = [example.namespace(place) for place in range(example.num_namespaces())]
        return [
            (
                char,
                [
                    (example.feature(char, place), example.feature_weight(char, place))
                    for place in range(example.num_features_in(char))
                ],
            )
            for char in spaces
        ]

    def _open(self, extra: list[str]) -> None:
        try:
            command = self._arguments.for_restore() if extra else self._arguments.command
            self._vw: Any = pylibvw.vw([*command, *self._reports, *extra], self._log.binding)
            self._label_type = self._vw._get_label_type()
        except RuntimeError as error:
            raise LearnerError(f"VW: {error} (arguments: {self._arguments})") from error
        self._group_kind = _GROUP_KINDS.get(self._label_type, "other")
        self._reductions = set(self._vw.get_enabled_learners())
        if not self._is_bounded and not self._reductions.isdisjoint(_NOT_DELETED):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._vw))
        self._copy = None
        self._terms = None
        self._taken_off = None
        self._reading = Reading.of(self._vw._get_prediction_type(), self._label_type)
        self._loss = self._arguments.value("--loss_function", "squared")
        link = self._arguments.value("--link", "identity")
        self._is_probability = link == "logistic"

    def _traits(self, arguments: str) -> Traits:
        kind = _label_kind(self._label_type)
        has_names = "--named_labels" in self._arguments.options
        return Traits(
            kind="vw",
            arguments=arguments,
            exact_resume=self._arguments.resume_exactly(self._reductions),
            reads="text",
            label_kind="text" if has_names and kind == "class" else kind,
            classes=self._arguments.classes(),
            is_signed=self._loss in ("logistic", "hinge"),
            is_multiline=bool(self._vw._is_multiline()),
        )

    def _learn_scored(self, parsed: Sequence[Any]) -> Learnt:
        vw, learn, finish = self._vw, pylibvw.vw.learn, pylibvw.vw._finish_example
        prediction, loss = self._reading.number, pylibvw.example.get_loss
        predictions: list[float] = []
        losses: list[float] = []
        for example in parsed:
            learn(vw, example)
            predictions.append(prediction(example))
            losses.append(loss(example))
            finish(vw, example)
        return Learnt(np.array(predictions, np.float64), np.array(losses, np.float64))

    def _learn_unscored(self, parsed: Sequence[Any]) -> Learnt:
        vw, learn, finish = self._vw, pylibvw.vw.learn, pylibvw.vw._finish_example
        for example in parsed:
            learn(vw, example)
            finish(vw, example)
        nothing = np.full(len(parsed), np.nan)
        return Learnt(nothing, nothing)

    def _learn_counted(self, examples: Sequence[Example]) -> Learnt:
        """For label kinds whose labels VW may refuse, and whose loss is known only as growth of VW's sum."""
        predictions, losses, rejected = _columns(len(examples))
        prediction = self._reading.number
        for index, row in enumerate(examples):
            before = self._vw.get_sum_loss()
            reason = self._bounds.reason(row.text) if self._bounds is not None else None
            if reason is not None:
                rejected.append(Rejected(index, reason))
                continue
            try:
                (example,) = self._vw._parse(row.text)
                self._vw.learn(example)
            except RuntimeError as error:
                rejected.append(Rejected(index, f"VW: {error}"))
                continue
            predictions[index] = prediction(example)
            self._vw._finish_example(example)
            losses[index] = self._vw.get_sum_loss() - before
        return Learnt(predictions, losses, rejected)

    def _learn_groups(self, examples: Sequence[Example]) -> Learnt:
        predictions, losses, rejected = _columns(len(examples))
        for index, example in enumerate(examples):
            before = self._vw.get_sum_loss()
            reason = crash_reason(self._group_kind, example.text)
            if reason is not None:
                rejected.append(Rejected(index, reason))
                continue
            try:
                lines = self._vw._parse(example.text)
                self._vw.learn_multi(lines)
            except RuntimeError as error:
                rejected.append(Rejected(index, f"VW: {error}"))
                continue
            predictions[index] = self._reading.number_of_group(lines)
            self._vw._finish_example_multi_ex(lines)
            losses[index] = self._vw.get_sum_loss() - before
        return Learnt(predictions, losses, rejected)


def _label_kind(label_type: int) -> LabelKind:
    kinds: dict[int, LabelKind] = {
        pylibvw.vw.lSimple: "number",
        pylibvw.vw.lMulticlass: "class",
        pylibvw.vw.lContextualBandit: "bandit",
    }
    return kinds.get(label_type, "text")


def _columns(n: int) -> tuple[Column, Column, list[Rejected]]:
    return np.full(n, np.nan), np.full(n, np.nan), []


def _unlabelled(line: bytes) -> bytes:
    return b"|" + line.partition(b"|")[2]
