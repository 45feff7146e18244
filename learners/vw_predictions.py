"""How predictions of Vowpal Wabbit are read: as one number for the metrics, and as they are served."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pylibvw

from learners.learner import Answer


class Reading(msgspec.Struct, frozen=True):
    """How the predictions of one kind are read from an example of VW that was learnt or predicted."""

    number: Callable[[Any], float]
    """The prediction as one number; 0 where it is none."""
    answer: Callable[[Any], Answer] | None
    """The prediction as it is served; None where nothing can read it."""
    is_class: bool
    is_number: bool
    """Whether VW tells a loss with each example."""

    @classmethod
    def of(cls, prediction_type: int, label_type: int) -> "Reading":
        """As VW's numbers for its kinds of predictions and labels ask for."""
        vw = pylibvw.vw
        number, answer = _readers(prediction_type, label_type)
        return cls(number, answer, prediction_type == vw.pMULTICLASS, prediction_type in (vw.pSCALAR, vw.pPROB))

    @property
    def is_score(self) -> bool:
        """Whether it is the single scalar score of a model, which weights add up to."""
        return self.number is pylibvw.example.get_simplelabel_prediction

    def number_of_group(self, lines: Sequence[Any]) -> float:
        """The prediction for a group of lines as one number."""
        return max(map(self.number, lines)) if self.is_class else self.number(lines[0])


def classes(lines: Sequence[Any]) -> list[float]:
    """The class that each line of a group was given."""
    return [float(pylibvw.example.get_multiclass_prediction(line)) for line in lines]


def _readers(prediction_type: int, label_type: int) -> tuple[Callable[[Any], float], Callable[[Any], Answer] | None]:
    vw, example = pylibvw.vw, pylibvw.example
    single: dict[int, Callable[[Any], float]] = {
        vw.pSCALAR: example.get_simplelabel_prediction,
        vw.pMULTICLASS: example.get_multiclass_prediction,
        vw.pPROB: example.get_prob,
    }
    if prediction_type in single:
        return single[prediction_type], single[prediction_type]
    lists: dict[int, Callable[[Any], list[float]]] = {
        vw.pSCALARS: example.get_scalars,
        vw.pACTION_SCORES: example.get_action_scores,
        vw.pACTION_PROBS: example.get_action_scores,
        vw.pMULTILABELS: example.get_multilabel_predictions,
    }
    pairs: dict[int, Callable[[Any], Answer]] = {
        vw.pPDF: _stretches,
        vw.pDECISION_SCORES: _slots,
    }
    read = lists.get(prediction_type)
    # Where actions are classes, the binding writes their scores beyond its memory.
    are_classes = label_type in (vw.lCostSensitive, vw.lMulticlass)
    if read is None or (are_classes and prediction_type in (vw.pACTION_SCORES, vw.pACTION_PROBS)):
        return (lambda _: 0.0), pairs.get(prediction_type)
    best = min if prediction_type == vw.pACTION_SCORES else max
    return (lambda line: _best(read(line), best)), (lambda line: [float(value) for value in read(line)])


def _stretches(line: Any) -> Answer:
    return [[float(number) for number in stretch] for stretch in pylibvw.example.get_pdf(line)]


def _slots(line: Any) -> Answer:
    slots = pylibvw.example.get_decision_scores(line)
    return [[[float(action), float(score)] for action, score in slot] for slot in slots]


def _best(values: list[float], best: Callable[[list[float]], float]) -> float:
    """The 1-based action or class that a list of scores stands for; 0 if the list is empty."""
    return float(values.index(best(values)) + 1) if values else 0.0
