"""The errors that are told in one line, as somebody foresaw them; anything else is a defect, and shows where."""

from checkpoints.errors import CheckpointError
from formats.example import FormatError
from formats.schema import SchemaError
from learners.learner import LearnerError
from stream_app.refusal import ServiceError
from stream_app.settings import ConfigError
from stream_app.sources.source import SourceError
from stream_app.trainer import TrainerError

FORESEEN = (
    CheckpointError, ConfigError, FormatError, LearnerError, OSError, SchemaError, ServiceError, SourceError,
    TrainerError,
)  # fmt: skip
