"""Progressive validation: every figure comes from a prediction made before its label was learnt. Knows no learner."""

from stream_app.progressive.progressive import Progressive, Task
from stream_app.progressive.rows import ProgressiveError
from stream_app.progressive.table import HEADER, Row, format_row, format_table

__all__ = ["HEADER", "Progressive", "ProgressiveError", "Row", "Task", "format_row", "format_table"]
