"""Functions of the user's: one feature path with them too, nothing that they do ends the service or changes answers."""

import hashlib
import json
import sys
import urllib.request
from collections import Counter

import pytest
from weir_process import Weir, append, closing, refused, synthetic

from formats.hooked_json import HookedJson
from formats.labels import Labels
from stream_app.hooks import Hook, PredictHook, load_hook
from stream_app.made_by import identity
from stream_app.service import Service
from stream_app.serving import Prediction
from stream_app.settings import ConfigError

MINE = """
from stream_app.metrics import add_metric, report_metric

add_metric("mine_events", "counter", "Events that features were made of.")
add_metric("mine_hours", "histogram", "Hours of events.", [6, 12, 18])
add_metric("mine_scores", "summary", "Scores answered.")
add_metric("mine_last_hour", "gauge", "Hour of the last event.")


def features(event):
    fields = event["features"]["f"]
    if fields["hour"] < 0:
        raise ValueError(f"hour {fields['hour']} is none")
    report_metric("mine_events")
    report_metric("mine_hours", fields["hour"])
    report_metric("mine_last_hour", fields["hour"])
    fields["night"] = fields["hour"] > 17
    return event


def answered(event, answer):
    if event["id"] == "bad":
        raise RuntimeError("not this one")
    report_metric("mine_scores", answer["prediction"])
"""
HOOKS = {"hooks": {"features": "mine_of_tests:features", "predict": "mine_of_tests:answered"}}


@pytest.fixture
def mine(tmp_path, monkeypatch):
    path = tmp_path / "code" / "mine_of_tests.py"
    path.parent.mkdir()
    path.write_text(MINE)
    monkeypatch.setenv("PYTHONPATH", str(path.parent))
    monkeypatch.syspath_prepend(path.parent)
    yield path
    forget()


def forget():
    """As a new process would."""
    sys.modules.pop("mine_of_tests", None)
    load_hook.cache_clear()


def metrics_of(service):
    with urllib.request.urlopen(f"{service.url}/metrics") as answer:
        return answer.read().decode().splitlines()


def made_by_hand(payload):
    event = json.loads(payload)
    event["features"]["f"]["night"] = event["features"]["f"]["hour"] > 17
    return json.dumps(event).encode()


def test_serving_and_learning_see_the_features_that_the_hook_makes(tmp_path, mine):
    events = synthetic(500)
    hooked, plain = Weir(tmp_path / "hooked", **HOOKS), Weir(tmp_path / "plain")
    with closing(hooked, plain):
        hooked.start().post("/events", b"\n".join(events))
        plain.start().post("/events", b"\n".join(map(made_by_hand, events)))
        for service in (hooked, plain):
            service.wait_learnt(500)
        ask = synthetic(1, first=500)[0]
        answers = [hooked.post("/predict", ask).body, plain.post("/predict", made_by_hand(ask)).body]
        assert answers[0] == answers[1]
        assert hooked.blob("learner", hooked.checkpoint()) == plain.blob("learner", plain.checkpoint())


def test_what_hooks_report_stands_in_metrics(tmp_path, mine):
    service = Weir(tmp_path, **HOOKS)
    with closing(service):
        service.start().post("/predict", synthetic(3)[2])
        service.post("/predict", synthetic(1)[0])
        hours = [json.loads(event)["features"]["f"]["hour"] for event in (synthetic(3)[2], synthetic(1)[0])]
        found = metrics_of(service)
        assert "mine_events_total 2.0" in found
        assert f"mine_last_hour {float(hours[1])}" in found
        assert "mine_scores_count 2.0" in found
        assert 'mine_hours_bucket{le="+Inf"} 2.0' in found


async def test_an_event_that_the_hook_refuses_is_a_dead_letter_and_a_wrong_request(tmp_path, mine):
    bad = json.dumps({"id": "x", "label": 1, "features": {"f": {"hour": -1}}}).encode()
    service = Weir(tmp_path, **HOOKS)
    await append(service.log, [*synthetic(5), bad, *synthetic(5, first=5)])
    with closing(service):
        service.start().wait_learnt(11)
        (letter,) = service.get("/dead-letters").body["latest"]
        assert (letter["offset"], letter["reason"]) == (5, "hooks.features: ValueError: hour -1 is none")
        answer = service.post("/predict", bad)
        assert (answer.status, answer.body["error"]["field"]) == (400, "hooks.features")
        assert service.post("/events", bad).status == 400
        assert 'weir_dead_letters_total{reason="hooks.features"} 1.0' in metrics_of(service)


def test_what_the_predict_hook_raises_is_counted_and_changes_no_answer(tmp_path, mine):
    service = Weir(tmp_path, **HOOKS)
    with closing(service):
        service.start()
        for _ in range(3):
            assert service.post("/predict", {"id": "bad", "features": {"f": {"hour": 1}}}).status == 200
        assert 'weir_errors_total{stage="hook"} 3.0' in metrics_of(service)
        assert service.stderr.read_text().count("RuntimeError: not this one") == 1


def test_train_and_verify_make_the_same_features(tmp_path, mine):
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(synthetic(300)))
    service = Weir(tmp_path, **HOOKS)
    with closing(service):
        service.start().post("/events", file.read_bytes())
        service.wait_learnt(300)
        learnt = service.blob("learner", service.checkpoint())
        assert service.stop() == 0
        assert service.command("verify").code == 0
        ran = service.command("train", str(file), "--out", str(tmp_path / "trained"), "--json")
        assert ran.code == 0, ran
        model_id = json.loads(ran.out)["checkpoint"]
        assert (tmp_path / "trained" / "objects" / model_id / "learner").read_bytes() == learnt


async def test_a_checkpoint_says_which_code_made_its_features_and_other_code_is_warned_of(settings_in, mine, caplog):
    settings = settings_in(**HOOKS)
    service = Service(settings)
    model_id = await service.checkpoint()
    await service.close()
    said = service.store.load(model_id).manifest.schema["features_hook"]
    assert said == {"name": HOOKS["hooks"]["features"], "sha256": hashlib.sha256(mine.read_bytes()).hexdigest()}
    await restarted(settings)
    assert "features by" not in caplog.text
    mine.write_text(MINE + "# changed\n")
    await restarted(settings)
    assert f"learnt with features by mine_of_tests:features ({said['sha256'][:8]})" in caplog.text
    await restarted(settings_in())
    assert "events are read with no hook now" in caplog.text


async def restarted(settings):
    forget()
    await Service(settings).close()


def test_a_model_without_hooks_says_nothing_of_them(settings_in):
    assert "features_hook" not in identity(settings_in()).schema


@pytest.mark.parametrize(
    ("hooks", "said"),
    [
        ({"features": "nothing"}, "expected package.module:function"),
        ({"features": "not_a_module:x"}, "hooks.features: 'not_a_module': ModuleNotFoundError"),
        ({"predict": "json:nothing"}, "json has no function 'nothing'"),
        ({"predict": "json:decoder"}, "json has no function 'decoder'"),
    ],
)
def test_a_hook_that_is_not_there_is_told_before_anything_starts(tmp_path, hooks, said):
    service = Weir(tmp_path, hooks=hooks)
    assert said in refused("serve", "-c", str(service.toml), "--port", "0")


def test_features_are_made_of_json_only(settings_in):
    with pytest.raises(ConfigError, match="it takes JSON events"):
        settings_in(events={"format": "vw"}, hooks={"features": "json:loads"})


def test_a_module_that_ends_the_process_does_not(tmp_path, monkeypatch):
    (tmp_path / "ending_of_tests.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="SystemExit"):
        load_hook("predict", "ending_of_tests:x")


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (lambda event: None, "expected a dict back, got NoneType"),
        (lambda event: sys.exit("no"), "SystemExit: no"),
        (lambda event: event["nothing"], "KeyError: 'nothing'"),
        (lambda event: {"features": {1: 2}}, "hooks.features"),
        (lambda event: {"features": {"f": {"a": object()}}}, "hooks.features"),
        (lambda event: {"features": {"f": {"a": float("nan")}}}, "a: "),
        (lambda event: {"features": {"f": {"a": 1j}}}, "hooks.features"),
        (lambda event: {"features": {"f": {"a": 1}}, "label": []}, "label: "),
    ],
)
@pytest.mark.parametrize("reads", ["text", "features"])
def test_whatever_a_hook_gives_its_event_dies_alone(features, said, reads):
    format_ = HookedJson(lambda event: features(event) if "x" in event else event, Labels("number"), reads=reads)
    good = b'{"label": 1, "features": {"f": {"a": 1}}}'
    decoded = format_.decode([good, b'{"x": 1}', good])
    assert len(decoded.examples) == 2
    ((index, reason),) = [(dead.index, dead.reason) for dead in decoded.dead]
    assert index == 1
    assert said in reason


def test_events_of_an_envelope_pass_one_by_one():
    format_ = HookedJson(lambda event: {"label": event["y"], "features": {"a": event["x"]}}, Labels("number"))
    decoded = format_.decode([b'[{"y": 1, "x": 2}, {"y": 3, "x": 4}]'])
    assert [example.label for example in decoded.examples] == [1.0, 3.0]


def test_the_predict_hook_hears_of_events_that_are_no_json():
    heard = []
    hook = PredictHook(Hook("x", lambda event, answer: heard.append((event, answer)), ""), Counter())
    hook([b"|f a"], [Prediction("e1", 0.5, "live@0:1")])
    assert heard == [({"raw": "|f a"}, {"id": "e1", "prediction": 0.5, "model": "live@0:1"})]
