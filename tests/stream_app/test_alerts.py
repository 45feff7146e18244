"""Each rule holds above its threshold, for as long as it must, and clears as soon as it does not."""

from pathlib import Path

import msgspec
import pytest

from stream_app.alert_file import AlertFile
from stream_app.alerting import Alerting
from stream_app.alerts import LEAST, RULES, Alert, Figures, Limits, judged
from stream_app.settings import AlertSettings

BY_NAME = {rule.name: rule for rule in RULES}
THEN = Figures(at_s=0.0)


def value_of(name, then=THEN, **figures):
    return BY_NAME[name].value(Figures(at_s=300.0, **figures), then)


@pytest.mark.parametrize(
    ("name", "figures", "value"),
    [
        ("predictions_zero", {"no_prediction_s": 301.0}, 301.0),
        ("predictions_zero", {}, None),
        ("labels_zero", {"no_label_s": 901.0}, 901.0),
        ("labels_zero", {}, None),
        ("loss_above_baseline", {"beaten_by": 2}, 2.0),
        ("loss_above_baseline", {"beaten_by": None}, None),
        ("error_rate", {"requests": 100, "request_errors": 25}, 0.25),
        ("error_rate", {"requests": LEAST - 1, "request_errors": LEAST - 1}, None),
        ("lag_growing", {"lag": None}, None),
        ("checkpoint_overdue", {"checkpoint_wait_s": 30.0, "checkpoint_every_s": 10.0}, 3.0),
        ("dead_letters", {"records": 200, "dead_letters": 10}, 0.05),
        ("dead_letters", {"records": LEAST - 1, "dead_letters": 1}, None),
        ("freshness", {"model_age_s": 400.0}, 400.0),
        ("freshness", {"model_age_s": 0.0, "servable": 4, "servable_s": 40.0}, 10.0),
        ("freshness", {}, None),
        ("importance_shift", {"importance_shifts": 1}, 1.0),
    ],
)
def test_a_rule_works_out_its_value(name, figures, value):
    assert value_of(name, **figures) == value


def test_shares_and_growth_are_of_the_window_alone():
    then = Figures(
        at_s=0.0,
        requests=1_000,
        request_errors=1_000,
        records=50,
        dead_letters=50,
        lag=7_000,
        servable=1,
        servable_s=9e9,
    )
    assert value_of("error_rate", then, requests=1_100, request_errors=1_001) == 0.01
    assert value_of("dead_letters", then, records=150, dead_letters=51) == 0.01
    assert value_of("lag_growing", then, lag=9_000) == 2_000
    assert value_of("freshness", then, servable=1, servable_s=9e9, model_age_s=0.0) == 0.0


def test_a_rule_fires_only_after_it_has_held_long_enough():
    limits = Limits(threshold=1.0, for_s=60.0)
    pending = judged(Alert(), 2.0, limits, 100.0)
    assert pending == Alert("pending", 2.0, 100.0)
    assert judged(pending, 3.0, limits, 159.9).state == "pending"
    assert judged(pending, 3.0, limits, 160.0) == Alert("firing", 3.0, 100.0)


def test_a_rule_that_held_not_long_enough_begins_anew():
    limits = Limits(threshold=1.0, for_s=60.0)
    cleared = judged(judged(Alert(), 2.0, limits, 100.0), 1.0, limits, 159.0)
    assert cleared == Alert("inactive", 1.0)
    assert judged(cleared, 2.0, limits, 200.0) == Alert("pending", 2.0, 200.0)


@pytest.mark.parametrize("value", [None, 1.0, 0.0])
def test_a_rule_clears_at_once(value):
    assert judged(Alert("firing", 2.0, 100.0), value, Limits(1.0, 60.0), 101.0).state == "inactive"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_what_is_wrong_in_a_sentence(rule):
    assert rule.figure.format(rule.threshold + 1) in rule.says(rule.threshold + 1)


RESTORED = {"threshold": 30.0, "for_s": 0.0}


def restarted(tmp_path: Path, rule: str, figures: list[Figures], window_s: float = 100.0) -> tuple[Alerting, list[str]]:
    """What a service says that begins while a rule fires, look by look."""
    path = tmp_path / "alerts.json"
    AlertFile(path).write({rule: Alert("firing", 50.0, 1.0)})
    settings = msgspec.convert({rule: RESTORED, "window_s": window_s}, AlertSettings)
    left = iter(figures)
    alerting = Alerting(settings, "model", lambda: next(left), None, path)
    said = []
    for _ in figures:
        alerting.look()
        said.append(",".join(alerting.firing) + "".join(change.status[0] for change in alerting.changes))
    return alerting, said


def test_after_a_restart_what_is_measured_over_the_window_is_not_over_before_one_has_passed(tmp_path: Path) -> None:
    figures = [Figures(at_s=1_000.0 + at, lag=40) for at in (0.0, 5.0, 99.0, 101.0)]
    _, said = restarted(tmp_path, "lag_growing", figures)
    assert said == ["lag_growing", "lag_growing", "lag_growing", "r"]


def test_after_a_restart_what_still_grows_is_told_at_once(tmp_path: Path) -> None:
    figures = [Figures(at_s=1_000.0 + at, lag=int(10 * at)) for at in (0.0, 5.0)]
    _, said = restarted(tmp_path, "lag_growing", figures)
    assert said == ["lag_growing", "lag_growingf"]


def test_after_a_restart_no_prediction_is_not_over_until_one_has_come(tmp_path: Path) -> None:
    times = [None, None, None, 2.0]
    figures = [Figures(at_s=1_000.0 + 200 * at, no_prediction_s=one) for at, one in enumerate(times)]
    _, said = restarted(tmp_path, "predictions_zero", figures)
    assert said == ["predictions_zero", "predictions_zerof", "predictions_zerof", "fr"]


def test_what_fires_while_the_disk_is_full_is_written_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "alerts.json"
    settings = msgspec.convert({"predictions_zero": RESTORED}, AlertSettings)
    alerting = Alerting(settings, "model", lambda: Figures(at_s=1_000.0, no_prediction_s=60.0), None, path)
    alerting.look()
    assert (alerting.firing, AlertFile(path).read()) == (["predictions_zero"], {})
    path.parent.mkdir()
    alerting.look()
    assert set(AlertFile(path).read()) == {"predictions_zero"}
