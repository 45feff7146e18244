"""Classes and actions beyond which VW reads or writes outside its memory: one such label would end the process.

Found by learning random labels (`tests/learners/test_vw_bounds.py`). What VW merely learns badly is not judged here.
"""

import msgspec

from learners.vw_arguments import VWArguments
from learners.vw_groups import label_words

# Option that sets the highest class, and the lowest class that is safe with it. The first one given counts.
_BOUNDED = {"--cs_active": 1, "--ot": 1, "--oaa_subsample": 1, "--get_pmf": 1, "--csoaa": 0, "--oas": 0}
_HIGHEST = {"--oaa_subsample": "--oaa", "--get_pmf": "--oaa", "--oas": "--max_number_of_labels"}
_MOST_LABELS = "10"


class Bounds(msgspec.Struct, frozen=True):
    """The classes that are safe, both ends included."""

    lowest: int
    highest: int

    @classmethod
    def of(cls, arguments: VWArguments) -> "Bounds | None":
        """The bounds of a learner; None where every class is safe, as far as is known."""
        for option, lowest in _BOUNDED.items():
            if option in arguments.options:
                highest = arguments.value(_HIGHEST.get(option, option), _MOST_LABELS)
                return cls(lowest, int(highest)) if highest.isdigit() else None
        return None

    def reason(self, line: bytes) -> str | None:
        """Why VW must not see this line; None if it may.

        >>> Bounds(1, 3).reason(b"1:0 9:1 |f a")
        'label: 9 is not a class from 1 to 3: VW would crash'
        """
        for word in label_words(line)[: None if b":" in line.partition(b"|")[0] else 1]:
            for part in word.split(b","):
                name = part.partition(b":")[0]
                if not name.isdigit() or not self.lowest <= int(name) <= self.highest:
                    shown = name.decode(errors="replace")
                    return f"label: {shown} is not a class from {self.lowest} to {self.highest}: VW would crash"
        return None
