"""Any river pipeline as a learner: an expression in river's own names, or the import path of a function building one.

The only file that knows river. Its pickles are made by river_state, and verified by the checkpoint store.
"""

import importlib
import inspect
import math
import pickle
import pkgutil
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Number
from typing import Any, Literal

import numpy as np
import river

from formats.example import Example, Features, Value
from learners import river_state
from learners.explanation import CONSTANT, Score, Term
from learners.learner import Answer, Column, LearnerError, Learnt, Name, Rejected, Traits, Weight, Weights

Task = Literal["binary", "multiclass", "regression"]

_UNLEARNABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What river raises for a row that does not suit the pipeline: text to a scaler, a negative count, a missing field."""

_EPS = float(np.finfo(np.float64).eps)

# Classifiers made while learning (ensembles, one-vs-rest) and random numbers drawn while predicting are left out.
_EXACT = (
    "river.compose", "river.preprocessing.scale", "river.preprocessing.one_hot", "river.linear_model",
    "river.naive_bayes", "river.tree", "river.forest", "river.optim", "river.stats", "river.utils", "river.proba",
    "river.base", "river.drift", "river.metrics", "river._river_rust",
)  # fmt: skip


class River:
    """`Learner` for a river classifier or regressor.

    Features are named `namespace^name` (`name` in the default namespace): text stays text, booleans and numbers are
    numbers, a bag of tokens becomes one 1 per `name=token`. A binary prediction is the probability of the positive
    class, its loss log loss; a multiclass prediction the class, its loss 0 or 1; a regression loss the squared error.
    """

    def __init__(self, arguments: str, task: Task = "binary") -> None:
        self._task = task
        self._model = build(arguments)
        _seed(self._model)
        self._tables = [part for part in _parts(self._model) if isinstance(part, defaultdict)]
        self._takes_weights = _takes_weights(self._model)
        self._nan_predictions = 0
        self.traits = Traits(
            kind="river",
            arguments=arguments,
            exact_resume=_resumes_exactly(self._model),
            reads="features",
            label_kind="class" if task == "multiclass" else "number",
        )

    @property
    def nan_predictions(self) -> int:
        """How often river's answer was not a finite number."""
        return self._nan_predictions

    def learn(self, examples: Sequence[Example]) -> Learnt:
        predictions = np.full(len(examples), np.nan)
        losses = np.full(len(examples), np.nan)
        rejected: list[Rejected] = []
        for index, example in enumerate(examples):
            if example.weight != 1.0 and not self._takes_weights:
                name = type(self._model).__name__
                rejected.append(Rejected(index, f"weight: {example.weight!r}, but river's {name} takes no weights"))
                continue
            row = flat(example.features)
            try:
                prediction = self._predict(row)
                losses[index] = self._learn_one(row, example, prediction)
            except _UNLEARNABLE as error:
                rejected.append(Rejected(index, f"river: {type(error).__name__}: {error}"))
                continue
            predictions[index] = prediction
        return Learnt(predictions, losses, rejected)

    def predict(self, example: Example) -> Answer:
        with self._traceless():
            try:
                return self._predict(flat(example.features))
            except _UNLEARNABLE as error:
                raise LearnerError(f"river: {type(error).__name__}: {error}") from error

    def probabilities(self, predictions: Column) -> Column:
        return np.clip(predictions, 0.0, 1.0)

    def state(self) -> bytes:
        return river_state.dumped(self._model)

    def restore(self, state: bytes) -> None:
        try:
            self._model = river_state.loaded(state)
        except Exception as error:
            raise LearnerError(f"river: state cannot be loaded: {type(error).__name__}: {error}") from error
        self._tables = [part for part in _parts(self._model) if isinstance(part, defaultdict)]

    def weights(self, names: Iterable[Name], examples: Iterable[Example]) -> Weights:
        """Of the pipeline's last step, by the names that it keeps itself: `names` and `examples` are not needed."""
        last = self._last()
        found = getattr(last, "weights", None)
        if not isinstance(found, dict) or not all(isinstance(weight, Number) for weight in found.values()):
            raise LearnerError(f"river's {type(last).__name__} has no weights by name; its linear models have")
        told = {str(name): float(weight) for name, weight in found.items()}
        if isinstance(intercept := getattr(last, "intercept", None), Number):
            told["(intercept)"] = float(intercept)  # type: ignore[arg-type]
        return Weights([Weight([name], None, value, f"{value:g}") for name, value in told.items() if value], [])

    def unexplained(self) -> str | None:
        """See Explains."""
        last = self._last()
        if hasattr(last, "_raw_dot_one") and isinstance(getattr(last, "intercept", None), Number):
            return None
        return f"river's {type(last).__name__} cannot be explained; its linear models can be"

    def score(self, example: Example) -> Score:
        """Of a linear model, with whatever transforms the features before it."""
        if (why := self.unexplained()) is not None:
            raise LearnerError(why)
        last = self._last()
        fields = {key: field for field, key in _keys(example.features)}
        with self._traceless():
            try:
                row = flat(example.features)
                if last is not self._model:
                    row, _ = self._model._transform_one(row)
                weights, raw = last.weights, float(last._raw_dot_one(row))
            except _UNLEARNABLE as error:
                raise LearnerError(f"river: {type(error).__name__}: {error}") from error
        terms = [
            Term(str(name), _fields_of(str(name), fields), name, float(value), float(weights.get(name, 0.0)))
            for name, value in row.items()
        ]
        return Score(raw, [*terms, Term(CONSTANT, (CONSTANT,), CONSTANT, 1.0, float(last.intercept))])

    def _last(self) -> Any:
        """The step of the pipeline that predicts."""
        last = self._model
        while isinstance(getattr(last, "steps", None), dict):
            last = list(last.steps.values())[-1]
        return last

    @contextmanager
    def _traceless(self) -> Iterator[None]:
        """River notes down names that it is asked for the first time: take them off, the newest of a dict are last."""
        sizes = [len(table) for table in self._tables]
        try:
            yield
        finally:
            for table, size in zip(self._tables, sizes, strict=True):
                while len(table) > size:
                    table.popitem()

    def _learn_one(self, row: dict[str, Any], example: Example, prediction: float) -> float:
        label = example.label
        if not isinstance(label, float):
            return 0.0
        weights = {"w": example.weight} if example.weight != 1.0 else {}
        if self._task == "binary":
            self._model.learn_one(row, label > 0, **weights)
            likelihood = prediction if label > 0 else 1.0 - prediction
            return -math.log(min(max(likelihood, _EPS), 1.0 - _EPS)) * example.weight
        if self._task == "multiclass":
            self._model.learn_one(row, int(label), **weights)
            return float(prediction != label) * example.weight
        self._model.learn_one(row, label, **weights)
        return (prediction - label) ** 2 * example.weight

    def _predict(self, row: dict[str, Any]) -> float:
        if self._task == "binary":
            raw = self._model.predict_proba_one(row).get(True, 0.5)
        else:
            raw = self._model.predict_one(row) or 0.0
        value = float(raw)
        if math.isfinite(value):
            return value
        self._nan_predictions += 1
        return 0.0


def build(arguments: str) -> Any:
    """The pipeline that `arguments` describes. Raises LearnerError.

    Either `module:function`, called without arguments, or an expression in which river's modules are known by name:
    `preprocessing.StandardScaler() | linear_model.LogisticRegression()`. It comes from the owner's configuration.
    """
    module, colon, function = arguments.partition(":")
    is_path = bool(colon) and module.replace(".", "").isidentifier() and function.isidentifier()
    try:
        if is_path:
            model = getattr(importlib.import_module(module), function)()
        else:
            model = eval(arguments, {"__builtins__": {}}, _river_names())
    except Exception as error:
        raise LearnerError(
            f"learner.args: {arguments!r} builds no river model: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(model, "learn_one") or not hasattr(model, "predict_one"):
        raise LearnerError(f"learner.args: {arguments!r} gives {type(model).__name__}, which cannot learn and predict")
    return model


def flat(features: Features) -> dict[str, Any]:
    """One dict of named values, as river takes it.

    >>> flat({"": {"a": True}, "f": {"b": "x", "c": ["p", "q"]}})
    {'a': 1, 'f^b': 'x', 'f^c=p': 1, 'f^c=q': 1}
    """
    row: dict[str, Any] = {}
    for namespace, values in features.items():
        prefix = f"{namespace}^" if namespace else ""
        for name, value in values.items():
            _put(row, prefix + name, value)
    return row


def _put(row: dict[str, Any], name: str, value: Value) -> None:
    if isinstance(value, bool):
        row[name] = int(value)
    elif isinstance(value, list):
        row.update((f"{name}={token}", 1) for token in value)
    elif value is not None:
        row[name] = value


def _keys(features: Features) -> Iterator[tuple[str, str]]:
    """Each raw field, and a key that it has in the flat row."""
    for namespace, values in features.items():
        prefix = f"{namespace}^" if namespace else ""
        for name, value in values.items():
            row: dict[str, Any] = {}
            _put(row, prefix + name, value)
            yield from ((prefix + name, key) for key in row)


def _fields_of(name: str, fields: dict[str, str]) -> tuple[str, ...]:
    """The raw fields that a feature is made of: itself, what was one-hot encoded, or the parts of a product.

    >>> _fields_of("f^b_x", {"f^b": "f^b"}), _fields_of("a*t=x", {"a": "a", "t=x": "t"}), _fields_of("?", {})
    (('f^b',), ('a', 't'), ('?',))
    """
    if name in fields:
        return (fields[name],)
    encoded = [key for key in fields if name.startswith(f"{key}_")]
    if encoded:
        return (fields[max(encoded, key=len)],)
    parts = [fields[part] for part in name.split("*") if part in fields]
    return tuple(dict.fromkeys(parts)) or (name,)


def _river_names() -> dict[str, Any]:
    modules = {info.name for info in pkgutil.iter_modules(river.__path__) if not info.name.startswith("_")}
    return {name: importlib.import_module(f"river.{name}") for name in modules - {"test_estimators", "conftest"}} | {
        "str": str,
        "int": int,
        "float": float,
        "Number": Number,
    }


def _seed(model: Any) -> None:
    """Chance that nobody gave a seed to begins at 0, so that equal streams give equal models."""
    for part in _parts(model):
        if getattr(part, "seed", None) is None:
            for value in getattr(part, "__dict__", {}).values():
                if isinstance(value, random.Random | np.random.RandomState):
                    value.seed(0)


def _parts(model: Any) -> Iterator[Any]:
    """The model's objects of river and its dicts, each once; a dict that makes up its entries is not entered."""
    seen: set[int] = set()
    todo = [model]
    while todo:
        part = todo.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            yield part
            todo += [] if isinstance(part, defaultdict) else part.values()
        elif type(part).__module__.startswith("river."):
            yield part
            todo += getattr(part, "__dict__", {}).values()


def _resumes_exactly(model: Any) -> bool:
    """Whether all of river that the model is made of was measured to be left alone by predictions and restores."""
    modules = re.findall(r"river\.[a-z_.]+[a-z_]", pickle.dumps(model, pickle.HIGHEST_PROTOCOL).decode("latin-1"))
    return bool(modules) and all(module.startswith(_EXACT) for module in modules)


def _takes_weights(model: Any) -> bool:
    last = list(model.steps.values())[-1] if hasattr(model, "steps") else model
    return "w" in inspect.signature(last.learn_one).parameters
