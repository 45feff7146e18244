"""What stops a conversion, with the exit code that scripts around csv2vw have come to expect."""


class ConversionStopped(Exception):
    """The run cannot go on. The text is the whole line for standard error; `exit_code` is the command's."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class BadRow(Exception):
    """A row that cannot become a line. The text says why; the caller knows where it stood."""
