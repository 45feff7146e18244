"""What all tests share: where the real data lies, and settings in a folder of the test's own."""

from pathlib import Path
from typing import Any

import hypothesis
import pytest
from broker_scheduling import BrokerScheduling
from kafka_broker import (  # noqa: F401 fixtures of all tests
    certificates,
    kafka,
    own_broker,
    sasl_servers,
    secured_broker,
    tls_servers,
)
from s3_server import s3, s3_endpoint  # noqa: F401 fixtures of all tests
from xdist.remote import Producer

from stream_app import config
from stream_app.settings import Settings

# Where processes share a core, time says nothing about a single example, nor about how it was drawn.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

SHARED = Path(__file__).parents[1].parent / "shared"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> BrokerScheduling:
    return BrokerScheduling(config, log)


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"the folder of real data is missing: {SHARED}")
    return SHARED


@pytest.fixture
def settings_in(tmp_path: Path):
    """Settings whose log, checkpoints and state lie in the test's folder; sections may be overridden."""

    def settings(**sections: dict[str, Any]) -> Settings:
        tree: dict[str, dict[str, Any]] = {
            "source": {"url": f"log:{tmp_path}/log"},
            "checkpoints": {"url": f"{tmp_path}/checkpoints"},
            "state": {"dir": f"{tmp_path}/state"},
            "http": {"port": 0},
        }
        for section, values in sections.items():
            tree[section] = tree.get(section, {}) | values
        return config.of(tree)

    return settings
