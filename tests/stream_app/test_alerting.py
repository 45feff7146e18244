"""Rules fire and clear on a service, told in the log, /alerts, /status and /metrics, and posted to a webhook."""

import asyncio
import json
import logging
import re
import socket
import urllib.request
from contextlib import contextmanager

import pytest
from asker import Asker
from receiver import PATH, Receiver
from weir_process import Weir, append, closing, synthetic, wait_for

from stream_app import config, wiring
from stream_app.alert_file import AlertFile
from stream_app.alerts import RULES, Alert
from stream_app.service import Service
from stream_app.settings import ConfigError
from stream_app.webhook import Webhook

OFF = {rule.name: False for rule in RULES}


def alerts(rule, threshold, window_s=2.0, for_s=0.0):
    """Only this rule, looked at quickly."""
    return OFF | {"every_s": 0.05, "window_s": window_s, rule: {"threshold": threshold, "for_s": for_s}}


@contextmanager
def watched(tmp_path, monkeypatch, rule, threshold, for_s=0.0, **settings):
    """A service that is to fire this rule, and whoever is told."""
    with Receiver() as receiver:
        monkeypatch.setenv("WEIR_ALERTS_WEBHOOK", receiver.url)
        service = Weir(tmp_path, alerts=alerts(rule, threshold, for_s=for_s), **settings)
        with closing(service):
            yield service, receiver


def metrics_of(service):
    with urllib.request.urlopen(f"{service.url}/metrics") as answer:
        return answer.read().decode().splitlines()


def at_once(service, count):
    """Send so many bad requests behind one another; how many were refused."""
    request = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n%bContent-Length: 7\r\n\r\ngarbage"
    with socket.create_connection(("127.0.0.1", int(service.port))) as connection, connection.makefile("rb") as answers:
        connection.sendall(request % b"" * (count - 1) + request % b"Connection: close\r\n")
        return answers.read().count(b"HTTP/1.1 400 ")


def has_fired(service, receiver, rule):
    """Wait for it, and see that everybody is told the same."""
    wait_for(lambda: receiver.of(rule)[:1] == ["firing"])
    message = receiver.got[0]
    assert message["model"] == "model"
    assert message["value"] > message["threshold"]
    assert message["runbook"] == f"docs/runbooks/{rule}.md"
    assert message in service.get("/alerts").body["recent"]
    assert f"alert {rule} fires: {message['summary']}" in service.stderr.read_text()


def has_cleared(service, receiver, rule):
    """Wait until everybody is told the same. A value near its threshold may have crossed it more than once by then."""
    off = f'weir_alert_firing{{rule="{rule}"}} 0.0'
    wait_for(lambda: receiver.of(rule)[-1] == "resolved" and not service.get("/alerts").body["firing"]
                     and service.status()["alerts"] == [] and off in metrics_of(service))  # fmt: skip
    fired, cleared = receiver.got[:2]
    assert (fired["status"], cleared["status"]) == ("firing", "resolved")
    assert cleared["since"] == fired["since"] <= fired["at"] < cleared["at"]
    said = service.stderr.read_text()
    assert f"alert {rule} has cleared" in said
    assert PATH not in said


def test_labels_that_stop_fire_and_clear_when_they_come_again(tmp_path, monkeypatch):
    with watched(tmp_path, monkeypatch, "labels_zero", 10.0) as (service, receiver):
        service.start().post("/events", synthetic(1)[0])
        has_fired(service, receiver, "labels_zero")
        assert service.status()["alerts"] == service.get("/alerts").body["firing"] == ["labels_zero"]
        assert 'weir_alert_firing{rule="labels_zero"} 1.0' in metrics_of(service)
        service.post("/events", synthetic(1, first=1)[0])
        has_cleared(service, receiver, "labels_zero")


def test_predictions_that_stop_fire_and_clear_when_they_come_again(tmp_path, monkeypatch):
    with watched(tmp_path, monkeypatch, "predictions_zero", 0.5) as (service, receiver):
        service.start().post("/predict", synthetic(1)[0])
        has_fired(service, receiver, "predictions_zero")
        asker = Asker(service, "/predict", json.loads(synthetic(1)[0]), rate=20)
        asker.start()
        has_cleared(service, receiver, "predictions_zero")
        asker.is_enough.set()
        asker.join()


async def test_poison_fires_dead_letters_and_clears_once_it_has_passed(tmp_path, monkeypatch):
    with watched(tmp_path, monkeypatch, "dead_letters", 0.1) as (service, receiver):
        await append(service.log, [*synthetic(30), *[b'{"label": "YES", "features": {}}', b"garbage"] * 10])
        service.start().wait_learnt(50)
        has_fired(service, receiver, "dead_letters")
        found = metrics_of(service)
        assert 'weir_dead_letters_total{reason="label"} 10.0' in found
        assert 'weir_dead_letters_total{reason="not_json"} 10.0' in found
        assert 'weir_errors_total{stage="decode"} 20.0' in found
        has_cleared(service, receiver, "dead_letters")


def test_flipped_labels_fire_loss_above_baseline_and_true_ones_clear_it(tmp_path, monkeypatch):
    window = {"progressive": {"window": 200}}
    with watched(tmp_path, monkeypatch, "loss_above_baseline", 0.0, **window) as (service, receiver):
        service.start().post("/events", b"\n".join(synthetic(2_000)))
        service.wait_learnt(2_000)
        assert receiver.got == []
        service.post("/events", b"\n".join(synthetic(200, first=2_000, is_flipped=True)))
        has_fired(service, receiver, "loss_above_baseline")
        service.post("/events", b"\n".join(synthetic(2_000, first=2_200)))
        has_cleared(service, receiver, "loss_above_baseline")


def test_requests_that_fail_fire_error_rate_and_it_clears_when_they_have_passed(tmp_path, monkeypatch):
    with watched(tmp_path, monkeypatch, "error_rate", 0.5) as (service, receiver):
        service.start()
        assert at_once(service, 20) == 20  # one after the other might be too seldom, on a loaded machine
        has_fired(service, receiver, "error_rate")
        assert "weir_request_errors_total 20.0" in metrics_of(service)
        assert 'weir_errors_total{stage="predict"} 20.0' in metrics_of(service)
        has_cleared(service, receiver, "error_rate")


def test_checkpoints_that_cannot_be_saved_fire_and_clear_when_they_can(tmp_path, monkeypatch):
    every = {"checkpoints": {"every_s": 0.2}}
    # Nothing waits while the first try is under way: the rule must hold for longer than that takes.
    with watched(tmp_path, monkeypatch, "checkpoint_overdue", 3.0, for_s=1.0, **every) as (service, receiver):
        service.start().checkpoint()
        objects, aside = service.checkpoints / "objects", service.checkpoints / "aside"
        objects.rename(aside)
        objects.write_bytes(b"")
        service.post("/events", synthetic(1)[0])
        has_fired(service, receiver, "checkpoint_overdue")
        wait_for(lambda: any(line.startswith('weir_errors_total{stage="checkpoint"}') and not line.endswith(" 0.0")
                             for line in metrics_of(service)))  # fmt: skip
        objects.unlink()
        aside.rename(objects)
        has_cleared(service, receiver, "checkpoint_overdue")


@pytest.mark.parametrize(("rule", "threshold"), [("lag_growing", 30.0), ("freshness", 0.2)])
async def test_records_that_are_not_learnt_fire_and_clear_when_they_are(settings_in, rule, threshold, caplog):
    caplog.set_level(logging.WARNING, "stream_app.alerting")
    service = Service(settings_in(alerts=alerts(rule, threshold, window_s=0.5)))
    service.alerting.look()
    await service.source.append(synthetic(100))
    async with asyncio.timeout(240):
        while service.alerting.firing != [rule]:
            service.alerting.look()
            await asyncio.sleep(0.02)
        learning = asyncio.create_task(service.run())
        while service.alerting.firing:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    service.stop()
    await learning
    await service.close()
    assert [change.status for change in service.alerting.changes] == ["firing", "resolved"]
    assert f"alert {rule} fires" in caplog.text
    assert f"alert {rule} has cleared" in caplog.text


def test_what_fires_at_a_kill_is_told_again_and_what_no_longer_holds_is_resolved(tmp_path, monkeypatch):
    both = alerts("labels_zero", 2.0) | {"predictions_zero": {"threshold": 0.5, "for_s": 0.0}}
    with Receiver() as receiver:
        monkeypatch.setenv("WEIR_ALERTS_WEBHOOK", receiver.url)
        service = Weir(tmp_path, alerts=both)
        with closing(service):
            service.start().post("/events", synthetic(1)[0])
            service.post("/predict", synthetic(1)[0])
            wait_for(lambda: receiver.of("labels_zero") == receiver.of("predictions_zero") == ["firing"])
            since = {row["name"]: row["since"] for row in service.get("/alerts").body["rules"]}
            service.checkpoint()  # or what is learnt again would count as a label
            service.kill()
            service.configure(alerts=both | {"window_s": 1000.0})
            service.start()
            wait_for(lambda: receiver.of("labels_zero") == receiver.of("predictions_zero") == ["firing", "firing"])
            assert {one["summary"].partition(" before ")[2] for one in receiver.got[-2:]} == {
                "the restart; nothing newer is known"
            }
            assert set(service.get("/alerts").body["firing"]) == {"labels_zero", "predictions_zero"}, "not known yet"
            # Again and again: one may be half a second old before anybody looks, on a loaded machine.
            wait_for(
                lambda: service.post("/predict", synthetic(1)[0]) and "resolved" in receiver.of("predictions_zero")
            )
            cleared = next(one for one in receiver.got if one["status"] == "resolved")
            assert re.match(r"the last prediction was \d+ s ago: not above 0 s, as it was since 20", cleared["summary"])
            assert receiver.of("labels_zero") == ["firing", "firing"]
            assert service.get("/alerts").body["firing"][:1] == ["labels_zero"]
            service.kill()
            service.configure(alerts=OFF)
            service.start()
            wait_for(lambda: receiver.of("labels_zero") == ["firing", "firing", "resolved"])
            cleared = next(message for message in receiver.got[::-1] if message["rule"] == "labels_zero")
            assert cleared["since"] == since["labels_zero"]
            assert cleared["summary"].startswith("the rule is switched off: it was above its threshold since 20")
            assert service.get("/alerts").body["firing"] == []
            assert service.stop() == 0


def test_what_still_holds_after_a_kill_is_told_once_more_with_its_beginning(tmp_path, monkeypatch):
    with watched(tmp_path, monkeypatch, "loss_above_baseline", 0.0, progressive={"window": 100}) as (service, receiver):
        service.start().post("/events", b"\n".join(synthetic(2_000)))
        service.post("/events", b"\n".join(synthetic(200, first=2_000, is_flipped=True)))
        has_fired(service, receiver, "loss_above_baseline")
        service.wait_learnt(2_200)
        service.checkpoint()
        service.kill()
        service.start()
        wait_for(lambda: receiver.of("loss_above_baseline") == ["firing", "firing"])
        assert receiver.got[1]["since"] == receiver.got[0]["since"]
        assert service.stop() == 0


def test_a_file_of_alerts_that_cannot_be_read_or_written_is_said_and_ends_nothing(tmp_path, caplog):
    file = AlertFile(tmp_path / "folder" / "alerts.json")
    assert file.read() == {}
    file.write({"freshness": Alert("firing", 2.0, 1.0)})
    assert "cannot be written" in caplog.text
    (tmp_path / "folder").mkdir()
    file.write({"freshness": Alert("firing", 2.0, 1.0)})
    assert file.read() == {"freshness": Alert("firing", 2.0, 1.0)}
    (tmp_path / "folder" / "alerts.json").write_bytes(b'{"freshness": 3}')
    assert file.read() == {}
    assert "which alerts fired before is not known" in caplog.text


async def test_a_shift_of_importance_fires_and_clears(settings_in):
    service = Service(settings_in(alerts=OFF | {"importance_shift": True}))
    service.importance.problem = "what the model goes by changed suddenly"
    service.alerting.look()
    assert service.alerting.firing == ["importance_shift"]
    service.importance.problem = None
    service.alerting.look()
    assert service.alerting.firing == []
    await service.close()


async def test_a_rule_that_is_off_says_so_and_is_no_metric(settings_in):
    service = Service(settings_in(alerts={"error_rate": False}))
    states = {row["name"]: row["state"] for row in service.alerting.status()["rules"]}
    assert states == {rule.name: "off" if rule.name == "error_rate" else "inactive" for rule in RULES}
    assert "error_rate" not in service.alerting.rules
    await service.close()


async def test_figures_that_cannot_be_had_end_neither_the_rules_nor_the_service(settings_in, caplog, monkeypatch):
    service = Service(settings_in(alerts={"every_s": 0.01}))

    def broken():
        raise RuntimeError("no figure")

    monkeypatch.setattr(service.alerting, "_figures", broken)
    service.alerting.start()
    async with asyncio.timeout(240):
        while caplog.text.count("no figure") < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await service.close()


async def test_a_webhook_that_has_ended_stands_in_the_warnings(settings_in, monkeypatch):
    async def post(body):
        raise RuntimeError("broken")

    monkeypatch.setattr(wiring, "build_webhook", lambda settings, errors: Webhook(post, errors))
    service = Service(settings_in(alerts=OFF | {"importance_shift": True}))
    service.importance.problem = "what the model goes by changed suddenly"
    service.alerting.start()
    async with asyncio.timeout(240):
        while service.alerting.problem is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert "posting to the webhook has ended: RuntimeError('broken'); restart the service" in service.warnings()
    with pytest.raises(RuntimeError, match="broken"):
        await service.close()


def test_the_address_of_the_webhook_is_a_secret(tmp_path, monkeypatch):
    toml = tmp_path / "weir.toml"
    toml.write_text('[alerts]\nwebhook = "http://x/secret"\n')
    with pytest.raises(ConfigError, match="WEIR_ALERTS_WEBHOOK_FILE"):
        config.load(str(toml), {})
    file = tmp_path / "webhook"
    file.write_text("http://x/secret\n")
    toml.write_text("")
    assert config.load(str(toml), {"WEIR_ALERTS_WEBHOOK_FILE": str(file)}).alerts.webhook == "http://x/secret"
    with pytest.raises(ConfigError) as raised:
        config.load(str(toml), {"WEIR_ALERTS_WEBHOOK": "secret"})
    assert "'secret'" not in str(raised.value)


def test_rules_are_set_by_variables_too():
    alerts = config.load(None, {"WEIR_ALERTS_ERROR_RATE": "{threshold = 0.2}", "WEIR_ALERTS_FRESHNESS": "false"}).alerts
    assert (alerts.rule("error_rate").threshold, alerts.rule("error_rate").for_s) == (0.2, None)
    assert not alerts.rule("freshness").on
    with pytest.raises(ConfigError, match=r"alerts\.lag_growing"):
        config.of({"alerts": {"lag_growing": {"treshold": 1}}})
