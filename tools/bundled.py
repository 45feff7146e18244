"""Data sets that every user has, because river ships them, as JSON events: for the tour, the demo, the benchmarks."""

from collections.abc import Iterator

import orjson

from stream_app.settings import ConfigError

BUNDLED = ("Bananas", "ImageSegments", "Phishing", "Shuttle", "TrumpApproval")


def events(name: str) -> Iterator[bytes]:
    """The events of a data set in its own order, with ids `<name>-<number>`. Raises ConfigError for an unknown one."""
    if name not in BUNDLED:
        raise ConfigError(f"river:{name}: no such bundled data set; expected one of {', '.join(BUNDLED)}")
    from river import datasets  # half a second of imports that only those who ask for a data set should wait for

    for number, (features, label) in enumerate(getattr(datasets, name)()):
        event = {"id": f"{name.lower()}-{number}", "label": label, "features": features}
        yield orjson.dumps(event, default=str)
