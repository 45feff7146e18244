"""What Vowpal Wabbit itself reads from a line: its namespaces and features, and what it warns of."""

import math

import pylibvw

LEARNERS = ("", "--ftrl", "--coin", "--loss_function logistic", "--oaa 3")
DEFAULT_NAMESPACE = " "


class Oracle:
    """A VW of its own, without the project's code between."""

    def __init__(self, arguments: str = "") -> None:
        self.said: list[str] = []
        self._log = pylibvw.vw_log(self)
        self.vw = pylibvw.vw([*arguments.split(), "--driver_output_off", "-b", "10"], self._log)

    def log(self, message: str) -> None:
        self.said.append(message)

    def read(self, text: bytes) -> dict[str, int]:
        """Features per first letter of a namespace, as VW parsed the line; a name of many bytes by its first byte."""
        (example,) = self.vw._parse(text)
        counts: dict[str, int] = {}
        for index in range(example.num_namespaces()):
            namespace = example.namespace(index)
            counts[chr(namespace)] = counts.get(chr(namespace), 0) + example.num_features_in(namespace)
        self.vw._finish_example(example)
        counts.pop(chr(128), None)  # VW's own constant
        return {namespace: count for namespace, count in counts.items() if count}

    def values(self, text: bytes, namespace: str) -> list[float]:
        """Values of the features of one namespace, as VW has them; zeros it drops."""
        (example,) = self.vw._parse(text)
        count = example.num_features_in(ord(namespace))
        found = [example.feature_weight(ord(namespace), index) for index in range(count)]
        self.vw._finish_example(example)
        return found

    def learn(self, text: bytes) -> None:
        for example in self.vw._parse(text):
            self.vw.learn(example)
            self.vw._finish_example(example)

    def warnings(self) -> list[str]:
        return [message for message in self.said if "warning" in message or "rror" in message or "NAN" in message]

    def is_finite(self) -> bool:
        """Whether every weight, with all that its optimiser keeps beside it, is a finite number."""
        stride = self.vw.get_stride()
        total = self.vw.num_weights()
        return all(math.isfinite(self.vw.get_weight(i, k)) for i in range(total) for k in range(min(stride, 4)))
