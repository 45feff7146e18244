"""Rules, dashboard and pages fit the service: what docs/monitoring and docs/runbooks say, against a real scrape."""

import itertools
import json
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from container_files import FILE, SERVICES, parsed
from patient_service import PATIENT
from prometheus_client.parser import text_string_to_metric_families
from prometheus_server import prometheus
from promtool import promtool
from ruamel.yaml import YAML

from stream_app.alerts import RULES
from stream_app.cli import cli
from stream_app.monitor import STAGES
from stream_app.settings import AlertSettings

sys.path.append(str(Path(__file__).parent / "stream_app"))
from weir_process import Weir, closing, synthetic, wait_for

ROOT = Path(__file__).parents[1]
ALERTS = ROOT / "docs" / "monitoring" / "alerts.yml"
PROMETHEUS = {rule["alert"]: rule for group in parsed(ALERTS.read_text())["groups"] for rule in group["rules"]}
DASHBOARD = json.loads((ROOT / "docs" / "monitoring" / "grafana.json").read_text())
PAGE = (ROOT / "docs" / "monitoring.md").read_text()
OUTSIDE = "service_down"
"""The one rule that only somebody else can look at."""

CELLS = str([f"{{actual = {a}, predicted = {p}, value = 1}}" for a in (0, 1) for p in (0, 1)]).replace("'", "")

rules = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    """What a service shows that has learnt, saved, deployed and predicted, and has a shadow."""
    learners = {"other": {"args": "--loss_function logistic --link logistic", "begin": "start"}}
    shadows = {**PATIENT, "learners": learners}
    service = Weir(tmp_path_factory.mktemp("scraped"), progressive={"window": 100}, shadows=shadows)
    with closing(service), pytest.MonkeyPatch.context() as patched:
        patched.setenv("WEIR_VALUE_CELLS", CELLS)
        service.start().post("/events", b"\n".join(synthetic(200)))
        service.wait_learnt(200)
        service.post("/tags/production", {"model": service.checkpoint()})
        service.post("/predict", synthetic(1)[0])
        return wait_for(lambda: with_shadow(service))


def with_shadow(service):
    with urllib.request.urlopen(f"{service.url}/metrics") as answer:
        text = answer.read().decode()
    return list(text_string_to_metric_families(text)) if "weir_shadow_loss{" in text else None


def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions():
    """All that Prometheus is asked for, by who asks."""
    for name, rule in PROMETHEUS.items():
        yield f"alert {name}", rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield f"panel {panel['title']}", target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]["query"]
    for note in DASHBOARD["annotations"]["list"]:
        yield "annotation", note["expr"]


def test_every_metric_that_is_asked_for_is_there(families):
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    names |= {sample.name for family in families for sample in family.samples}
    asked = {(name, metric) for name, text in expressions() for metric in re.findall(r"\b(?:weir|process)_\w+", text)}
    assert len(asked) > 40
    assert {(name, metric) for name, metric in asked if metric not in names} == set()


def test_every_label_that_is_asked_for_is_there(families):
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    asked = {label for _, text in expressions() for label in re.findall(r"(\w+)=~?\"", text)}
    asked |= {label for _, text in expressions() for by in re.findall(r"(?:by|without) \(([\w, ]+)\)", text)
              for label in by.split(", ")}  # fmt: skip
    assert asked - {"instance", "job"} <= labels | {"reason"}


def test_every_metric_stands_in_the_documents_and_no_other(families):
    shown = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    shown = {name for name in shown if not name.startswith("process_") and not name.endswith("_created")}
    named = set(re.findall(r"`(weir_\w+)", PAGE.partition("## All metrics\n")[2].partition("\n## ")[0]))
    assert named - {"weir_join", "weir_importance_rank_correlation"} == shown


@rules
def test_every_rule_is_one_of_prometheus_with_the_same_limits(rule):
    known = PROMETHEUS[rule.name]
    assert f"> {rule.threshold:g})" in known["expr"] or (rule.threshold == 0 and "> 0)" in known["expr"])
    seconds = {"s": 1, "m": 60}
    given = known.get("for", "0s")
    assert int(given[:-1]) * seconds[given[-1]] == rule.for_s
    assert known["annotations"]["runbook"] == rule.runbook


def test_prometheus_has_no_rule_of_its_own_but_one():
    assert PROMETHEUS.keys() - {rule.name for rule in RULES} == {OUTSIDE}


@rules
def test_every_rule_is_a_setting_and_stands_in_the_table(rule):
    assert AlertSettings().rule(rule.name).on
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| [`{rule.name}`]"))
    threshold = f"{rule.threshold:,.0f}" if rule.threshold == int(rule.threshold) else f"{rule.threshold:g}"
    assert [cell.strip() for cell in row.split("|")][3:5] == [threshold, f"{rule.for_s:.0f}"]


@pytest.mark.parametrize("name", [*(rule.name for rule in RULES), OUTSIDE])
def test_every_rule_has_a_page_that_says_what_to_do(name):
    page = (ROOT / "docs" / "runbooks" / f"{name}.md").read_text()
    titles = re.findall(r"^## (.*)", page, re.MULTILINE)
    assert page.startswith(f"# {name}\n")
    assert titles == ["What it means", "How to see it", "Likely causes", "What to do", "How to silence it"]


def test_no_page_is_left_of_a_rule_that_is_no_more():
    pages = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert pages == PROMETHEUS.keys()


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs" / "runbooks").glob("*.md")), ROOT / "docs" / "monitoring.md"],
                         ids=lambda page: page.stem)  # fmt: skip
def test_every_command_of_a_page_is_one_of_weir(page):
    text = page.read_text()
    lines = re.findall(r"`weir ([^`\n]+)`", text) + re.findall(r"^weir ([^#\n]+)", text, re.MULTILINE)
    for line in lines:
        command, words = cli, shlex.split(line)
        while words and hasattr(command, "commands") and words[0] in command.list_commands(None):
            command = command.get_command(None, words.pop(0))
        assert not hasattr(command, "commands") or command is cli.get_command(None, line.split()[0]), line
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= known, line


def test_every_stage_stands_in_the_documents():
    assert [stage for stage in (*STAGES, "http", "hook", "webhook") if f"`{stage}`" not in PAGE] == []


def test_panels_have_numbers_titles_and_places_of_their_own():
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    assert all(panel["title"] and panel["targets"] for panel in panels())


def test_the_dashboard_asks_the_data_source_that_grafana_is_given():
    (source,) = parsed(FILE["configs"]["grafana-datasources"]["content"])["datasources"]
    variable = next(variable for variable in DASHBOARD["templating"]["list"] if variable["type"] == "datasource")
    assert (variable["query"], variable["current"]["value"]) == (source["type"], source["uid"])
    assert {panel["datasource"]["uid"] for panel in panels()} == {f"${{{variable['name']}}}"}


def test_the_containers_load_rules_and_dashboard():
    mounted = {config["source"]: config["target"] for name in ("prometheus", "grafana")
               for config in SERVICES[name]["configs"]}  # fmt: skip
    configs = FILE["configs"]
    assert parsed(configs["prometheus"]["content"])["rule_files"] == [mounted["prometheus-alerts"]]
    assert ROOT / configs["prometheus-alerts"]["file"] == ALERTS
    (provider,) = parsed(configs["grafana-dashboards"]["content"])["providers"]
    assert Path(mounted["grafana-weir"]).parent == Path(provider["options"]["path"])
    assert mounted["grafana-dashboards"].startswith("/etc/grafana/provisioning/dashboards/")
    assert json.loads((ROOT / configs["grafana-weir"]["file"]).read_text()) == DASHBOARD


def test_prometheus_takes_the_rules():
    run = subprocess.run([promtool(), "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_expression_is_one_of_prometheus(tmp_path):
    """Those of the dashboard, put into a file of rules."""
    asked = [text.replace("$__rate_interval", "1m") for name, text in expressions() if not name.startswith("variable")]
    made = [{"record": f"r{number}", "expr": text} for number, text in enumerate(asked)]
    path = tmp_path / "rules.yml"
    YAML().dump({"groups": [{"name": "all", "rules": made}]}, path)
    run = subprocess.run([promtool(), "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def series(name, values, **labels):
    written = ",".join(f'{key}="{value}"' for key, value in {"job": "weir", "instance": "a", **labels}.items())
    return {"series": f"{name}{{{written}}}", "values": values}


CASES = [
    ("predictions_zero", [series("weir_last_prediction_timestamp_seconds", "0x10 600x10")], 8, 11),
    ("labels_zero", [series("weir_last_label_timestamp_seconds", "0x20 1260x10")], 18, 22),
    (
        "loss_above_baseline",
        [series("weir_beaten_by_baseline", "0x4 1x10 0x10", baseline="majority"),
         series("weir_beaten_by_baseline", "0x30", baseline="constant")],
        12, 18,
    ),
    ("error_rate",
     [series("weir_request_errors_total", "0+10x10 100x20"), series("weir_requests_total", "0+20x40")], 8, 20),
    ("lag_growing", [series("weir_lag_records", "0+500x10 5000x20")], 8, 20),
    ("checkpoint_overdue",
     [series("weir_checkpoint_wait_seconds", "0+60x6 0x10"),
      series("weir_checkpoint_interval_seconds", "60x20")], 6, 9),
    ("dead_letters",
     [series("weir_errors_total", "0+5x10 50x20", stage="decode"), series("weir_errors_total", "0x30", stage="learn"),
      series("weir_errors_total", "0+100x40", stage="http"), series("weir_records_total", "0+100x40")], 8, 20),
    ("freshness", [series("weir_model_age_seconds", "0+60x9 0x10")], 8, 12),
    ("freshness",
     [series("weir_servable_age_seconds_sum", "0+4000x10 40000+1x20"),
      series("weir_servable_age_seconds_count", "0+10x40")], 8, 20),
    ("importance_shift", [series("weir_importance_shifts", "0 1x2 0x10")], 2, 5),
    (OUTSIDE, [series("up", "1 0x4 1x10")], 4, 6),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "fires_at", "clear_at"), CASES)
def test_every_rule_of_prometheus_fires_and_clears(name, given, fires_at, clear_at, tmp_path):
    asked = f'count by (model) (ALERTS{{alertname="{name}", alertstate="firing"}})'
    labels = "{}" if name == OUTSIDE else '{model="m"}'
    fires = {"expr": asked, "eval_time": f"{fires_at}m", "exp_samples": [{"labels": labels, "value": 1}]}
    clear = {"expr": asked, "eval_time": f"{clear_at}m", "exp_samples": []}
    before = {"expr": asked, "eval_time": "0m", "exp_samples": []}
    case = {"interval": "1m", "input_series": [series("weir_info", "1x60", model="m"), *given],
            "promql_expr_test": [before, fires, clear]}  # fmt: skip
    path = tmp_path / "case.yml"
    YAML().dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [case]}, path)
    run = subprocess.run([promtool(), "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_rule_of_prometheus_has_a_case():
    assert {case[0] for case in CASES} == PROMETHEUS.keys()


def test_the_documents_show_hooks_that_work(tmp_path):
    code = re.search(r"```python\n(.*?)```", PAGE.partition("## Hooks")[2], re.DOTALL)[1]
    (tmp_path / "shop.py").write_text(code)
    settings = PAGE.partition("## Hooks")[2].partition("```toml\n")[2].partition("```")[0]
    service = Weir(tmp_path, hooks=dict(re.findall(r'(\w+) = "(.+)"', settings)))
    service.program = ("env", "-C", str(tmp_path), *service.program)
    with closing(service):
        service.start()
        event = {"id": "b1", "ts": 1_700_000_000, "label": 1, "features": {"basket": {"value_eur": 42.0}}}
        assert service.post("/events", event).status == 202
        assert service.post("/predict", event | {"label": None}).status == 200
        with urllib.request.urlopen(f"{service.url}/metrics") as answer:
            text = answer.read().decode()
    assert "shop_basket_value_eur_count" in text
    assert "shop_sure_answers_total" in text


def test_a_real_prometheus_scrapes_a_service_and_hears_of_labels_that_stop(tmp_path):
    """The shipped rules, but for one threshold; and every expression of the dashboard is asked."""
    rules_file = tmp_path / "alerts.yml"
    last = "weir_last_label_timestamp_seconds"
    rules_file.write_text(ALERTS.read_text().replace(f"{last} > 900", f"{last} > 2"))
    service = Weir(tmp_path / "weir", model={"name": "flights"})
    with closing(service):
        service.start().post("/events", b"\n".join(synthetic(20)))
        with prometheus(tmp_path, f"127.0.0.1:{service.port}", rules_file) as server:
            firing = wait_for(lambda: firing_in(server))
            (labels,) = [alert["labels"] for alert in firing]
            assert (labels["alertname"], labels["model"]) == ("labels_zero", "flights")
            assert firing[0]["annotations"]["summary"].startswith("flights: no labelled event learnt for")
            wait_for(lambda: health_in(server), lambda health: health == dict.fromkeys(PROMETHEUS, "ok"))
            for who, expression in expressions():
                if not who.startswith("variable"):
                    asked = expression.replace("$__rate_interval", "1m").replace("$instance", ".*")
                    assert server.ask("query", query=asked) is not None, who
            numbers = itertools.count(20)

            def is_clear_after_another_label():
                assert service.post("/events", synthetic(1, first=next(numbers))[0]).status == 202
                return not firing_in(server)

            wait_for(is_clear_after_another_label)  # one label alone may be too old when it is scraped


def health_in(server):
    """Of each rule; `unknown` before it was looked at."""
    (group,) = server.ask("rules")["groups"]
    return {rule["name"]: rule["health"] for rule in group["rules"]}


def firing_in(server):
    """But for that the service is down: on a loaded machine, so does a scrape end that takes longer than a second."""
    alerts = (server.ask("alerts") or {"alerts": []})["alerts"]
    return [one for one in alerts if one["state"] == "firing" and one["labels"]["alertname"] != OUTSIDE]
