import re

import pytest

from stream_app import config
from stream_app.settings import ConfigError


def test_every_setting_has_a_default_that_works():
    settings = config.of({})
    assert settings.learner_args == "--loss_function logistic --link logistic"
    assert settings.http.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"http": {"prot": 1}}, "http.prot: unknown setting"),
        ({"htpp": {}}, "htpp: unknown setting"),
        ({"schema": {"fields": {"a": {"typ": "number"}}}}, "typ: unknown setting"),
        ({"http": {"port": "x"}}, "http.port: expected `int`"),
        ({"http": {"port": 70000}}, "http.port: 70000 is out of range: expected 0 to 65,535"),
        ({"model": {"task": "ranking"}}, "model.task: invalid enum value 'ranking': expected one of bandit, binary"),
        ({"deploy": {"guard_metric": "rmsee"}}, "deploy.guard_metric: invalid enum value 'rmsee': expected one of av"),
        (
            {"model": {"task": "regression"}, "deploy": {"guard_metric": "log_loss"}},
            "deploy.guard_metric: 'log_loss' is no figure of model.task 'regression', so it would guard nothing: "
            "expected one of average_loss, rmse, mae",
        ),
        ({"deploy": {"guard_metric": "rmse"}}, "expected one of average_loss, log_loss, brier"),
        (
            {"schema": {"fields": {"a": {"type": "text"}}}},
            "schema.fields.type: invalid enum value 'text': expected one of boolean, category, number, tokens",
        ),
        ({"source": {"batch": 0}}, "source.batch: 0 is out of range: expected 1 to 1,024"),
        ({"progressive": {"fading": 1.0}}, "progressive.fading: 1.0 is out of range: expected between 0 and 1"),
        ({"events": {"encoding": "utf-9"}}, "events.encoding: 'utf-9' is no known encoding"),
        ({"schema": {"drop": ["a"], "namespaces": {"f": ["a"]}}}, "'a' is also in schema.drop"),
        (
            {"schema": {"namespaces": {"f": ["a"]}, "fields": {"a": {"available_at": "label"}}}},
            "known only after the fact",
        ),
    ],
)
def test_a_wrong_setting_is_named(tree, said):
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        config.of(tree)


def test_the_environment_overrides_the_file_and_is_typed(tmp_path):
    file = tmp_path / "weir.toml"
    file.write_text('[http]\nport = 1000\n[model]\nname = "a"\n')
    environment = {"WEIR_HTTP_PORT": "2000", "WEIR_MODEL_NAME": "7", "WEIR_EVENTS_COLUMNS": '["a", "b"]'}
    settings = config.load(str(file), environment)
    assert settings.http.port == 2000
    assert settings.model.name == "7"
    assert settings.events.columns == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("WEIR_HTPP_PORT", "WEIR_HTPP_PORT: there is no such setting: did you mean WEIR_HTTP_PORT?"),
        ("WEIR_MODEL_TASKS", "did you mean WEIR_MODEL_TASK?"),
        ("WEIR_HTTP_TOKEN_FIL", "did you mean WEIR_HTTP_TOKEN_FILE?"),
        ("WEIR_HTTP_PORT_FILE", "did you mean WEIR_HTTP_PORT?"),
        ("WEIR_X", "variables are WEIR_<SECTION>_<KEY>; correct it, or unset it"),
    ],
)
def test_a_variable_that_sets_nothing_is_refused_and_its_value_not_told(name, said):
    with pytest.raises(ConfigError, match=re.escape(said)) as raised:
        config.load(None, {name: "7s3cret"})
    assert "7s3cret" not in str(raised.value)


def test_what_kubernetes_says_of_a_service_named_weir_is_passed_over():
    told = {
        "WEIR_SERVICE_HOST": "10.0.0.1",
        "WEIR_SERVICE_PORT": "8080",
        "WEIR_SERVICE_PORT_HTTP": "8080",
        "WEIR_PORT": "tcp://10.0.0.1:8080",
        "WEIR_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "WEIR_PORT_8080_TCP_PROTO": "tcp",
        "WEIR_FRAUD_PORT_8080_TCP_ADDR": "10.0.0.1",
    }
    assert config.load(None, told) == config.of({})


def test_the_token_comes_from_the_environment_or_a_file_never_from_the_settings(tmp_path):
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    assert config.load(None, {"WEIR_HTTP_TOKEN_FILE": str(secret)}).http.token == "s3cret"
    file = tmp_path / "weir.toml"
    file.write_text('[http]\ntoken = "x"\n')
    with pytest.raises(ConfigError, match="WEIR_HTTP_TOKEN"):
        config.load(str(file), {})


@pytest.mark.parametrize("content", [b"[http\n", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_named(tmp_path, content):
    file = tmp_path / "weir.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"weir\.toml"):
        config.load(str(file), {})


@pytest.mark.parametrize(
    ("join", "url", "said"),
    [
        ({"predictions": "p"}, "kafka://h:1/e", "join.labels: required where another topic of [join] is named"),
        ({"labels": "l", "dead_letters": "d"}, "kafka://h:1/e", "join.predictions: required where another topic"),
        ({"predictions": "p", "labels": "l", "dead_letters": "d"}, "log:data", "source.url: 'log:data' has no topics"),
        ({"predictions": "p", "labels": "p", "dead_letters": "d"}, "kafka://h:1/e", "must be four different topics"),
        ({"predictions": "p", "labels": "l", "dead_letters": "e"}, "kafka://h:1/e", "must be four different topics"),
        ({"wait_s": 0.0}, "log:data", "join.wait_s: 0.0 is out of range: expected more than 0"),
    ],
)
def test_a_join_has_all_its_topics_on_a_cluster_or_none(join, url, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        config.of({"join": join, "source": {"url": url}})
