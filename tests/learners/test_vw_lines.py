import io

import pytest

from formats.lines import lines
from learners.vw_lines import of_first_lines


@pytest.mark.parametrize(
    ("count", "files", "found"),
    [
        (1, [b"a", b"b"], [[b"a"], []]),
        (2, [b"a", b"b\nc"], [[b"a"], [b"b"]]),
        (3, [b"a\n", b"", b"b\nc", b"d"], [[b"a"], [], [b"b", b"c"], []]),
        (2, [b"a\nb\nc"], [[b"a", b"b"]]),
    ],
)
def test_a_last_line_without_its_end_is_counted(count: int, files: list[bytes], found: list[list[bytes]]) -> None:
    split = of_first_lines(lines, count)
    assert [list(split(io.BytesIO(file))) for file in files] == found
