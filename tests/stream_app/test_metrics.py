"""What `GET /metrics` says of a real service: in Prometheus' words, about the right things, and bounded."""

import json
import re
import subprocess
import urllib.request

import pytest
from patient_service import PATIENT
from prometheus_client.parser import text_string_to_metric_families
from promtool import promtool
from weir_process import Weir, append, closing, synthetic, wait_for

from stream_app.dead_letters import MOST_REASONS, DeadLetters
from stream_app.http.metrics import MOST_TAGS, _bounded

LABEL = {"features": {"f": {"carrier": "A"}}}


def scraped(service):
    with urllib.request.urlopen(f"{service.url}/metrics") as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return answer.read().decode()


def samples(text):
    """Values by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A scrape of a service that has done everything once."""
    other = {"args": "--loss_function logistic --link logistic -l 0.1", "begin": "start"}
    shadows = {**PATIENT, "learners": {"other": other}}
    service = Weir(tmp_path_factory.mktemp("metrics"), progressive={"window": 100}, shadows=shadows)
    with closing(service):
        service.start().post("/events", b"\n".join([*synthetic(300), *synthetic(2)]))
        service.wait_learnt(302)
        model_id = service.checkpoint()
        assert service.post("/tags/production", {"model": model_id}).status == 200
        event = json.loads(synthetic(1, first=900)[0]) | {"label": None}
        for path in ("/predict", "/predict", f"/model/{model_id}/predict", "/tag/production/predict"):
            assert service.post(path, event).status == 200
        assert service.post("/labels", {"id": "e900", "label": 1}).status == 202
        assert service.post("/labels", {"id": "never", "label": 1}).status == 404
        service.wait_learnt(303)
        yield wait_for(
            lambda: scraped(service),
            lambda found: "weir_shadow_loss{" in found,
            lambda found: re.findall(r"^weir_shadow_.+", found, re.MULTILINE),
        )


def test_prometheus_finds_nothing_to_mend(text):
    run = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_the_library_reads_what_it_has_written(text):
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation for family in families)
    assert all(family.type in ("counter", "gauge", "histogram") for family in families)
    assert {family.name.partition("_")[0] for family in families} == {"weir", "process"}


def test_what_was_done_is_counted(text):
    found = samples(text)
    assert found["weir_records_total",] == 303
    assert found["weir_events_total",] == 303
    assert found["weir_labelled_events_total",] == 303
    assert found["weir_duplicates_total",] == 2
    assert found["weir_predictions_total", ("tag", ""), ("target", "live")] == 2
    assert found["weir_predictions_total", ("tag", ""), ("target", "stored")] == 1
    assert found["weir_predictions_total", ("tag", "production"), ("target", "tag")] == 1
    assert found["weir_labels_total",] == 1
    assert found["weir_errors_total", ("stage", "join")] == 1
    assert found["weir_request_errors_total",] == 0
    assert found["weir_lag_records",] == 0
    assert found["weir_position", ("partition", "0")] == 303
    assert found["weir_stage_seconds_count", ("stage", "predict")] == 4
    assert found["weir_stage_seconds_count", ("stage", "checkpoint")] >= 1
    assert found["weir_stage_seconds_count", ("stage", "join")] == 1


def test_it_says_which_model_and_version_and_what_is_deployed(text):
    found = samples(text)
    labels = (("learner", "vw"), ("model", "model"), ("task", "binary"), ("version", "0.1.0"))
    assert found["weir_info", *labels] == 1
    ((name, (_, model_id), tag),) = [key for key in found if key[0] == "weir_deployed"]
    assert (tag, found[name, ("model_id", model_id), tag]) == (("tag", "production"), 1.0)


def test_losses_stand_beside_those_of_baselines_and_shadows(text):
    found = samples(text)
    own = found["weir_progressive", ("figure", "log_loss"), ("over", "window")]
    constant = found["weir_progressive_baseline", ("baseline", "constant"), ("figure", "log_loss"), ("over", "window")]
    assert 0 < own < constant
    assert found["weir_beaten_by_baseline", ("baseline", "constant")] == 0
    assert found["weir_shadow_loss", ("of", "primary"), ("shadow", "other")] > 0


def test_memory_and_ages_are_told_in_base_units(text):
    found = samples(text)
    assert 5e7 < found["process_resident_memory_bytes",] < 1e9
    assert found["weir_model_age_seconds",] == 0
    assert 0 <= found["weir_checkpoint_age_seconds",] < 600
    assert found["weir_servable_age_seconds_count",] > 0
    assert found["weir_event_age_seconds", ("share", "p50")] > 1e6


async def test_no_rollback_and_no_restart_turns_a_counter_back_within_a_process(tmp_path):
    service = Weir(tmp_path)
    with closing(service):
        service.start().post("/events", b"\n".join(synthetic(10)))
        service.wait_learnt(10)
        first = service.checkpoint()
        service.post("/events", b"\n".join(synthetic(10, first=10)))
        service.wait_learnt(20)
        service.rollback(first, "--replay")
        service.wait_learnt(20)
        found = samples(scraped(service))
        assert found["weir_records_total",] == 30
        assert found["weir_lineage", ("of", "records")] == 20


async def test_a_thousand_kinds_of_dead_letters_are_few_series(tmp_path):
    letters = DeadLetters(tmp_path / "letters", 10_000)
    for number in range(1_000):
        letters.add(0, number, f"field{number}: wrong", b"")
    assert len(letters.by_reason) == MOST_REASONS + 1
    assert letters.by_reason["other"] == 1_000 - MOST_REASONS
    letters.close()


def test_a_thousand_tags_are_few_series():
    rows = _bounded({("tag", f"t{number}"): 1 for number in range(1_000)})
    assert len(rows) == MOST_TAGS + 2
    assert sum(rows.values()) == 1_000
    assert rows["tag", "other"] == 1_000 - MOST_TAGS


async def test_dead_letters_are_counted_by_what_their_reason_is_about(tmp_path):
    service = Weir(tmp_path)
    bad = [b"nothing", b'{"features": {}, "label": "x"}', b'[{"features": {}, "label": "x"}]', b"3"]
    await append(service.log, bad)
    with closing(service):
        service.start().wait_learnt(4)
        found = samples(scraped(service))
        assert {key[1][1]: value for key, value in found.items() if key[0] == "weir_dead_letters_total"} == {
            "not_json": 1, "label": 2, "other": 1,
        }  # fmt: skip
        assert found["weir_errors_total", ("stage", "decode")] == 4
