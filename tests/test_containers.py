"""The containers fit the service: docker-compose.yml and Dockerfile against settings, commands, routes and files."""

import base64
import re
import subprocess
import tomllib

import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema
from container_files import (
    COMPOSE,
    FILE,
    GIVEN,
    ROOT,
    SERVICES,
    WEIRS,
    NotSet,
    compose,
    dockerfile,
    is_ignored,
    kafka_addresses,
    known_variables,
    mounts,
    parsed,
    published,
    settings_of,
    volume_of,
)
from jsonschema import Draft202012Validator
from packaging.specifiers import SpecifierSet

from stream_app.cli import cli
from stream_app.http.exposure import check_exposure
from stream_app.http.openapi import document
from stream_app.sources.kafka_topic import KafkaOptions, KafkaTopic
from tools.kafka import VERSION

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DOCKERFILE = dockerfile()
LAST_STAGE = max(instruction.stage for instruction in DOCKERFILE)

weirs = pytest.mark.parametrize("name", WEIRS)
services = pytest.mark.parametrize("name", SERVICES)


@pytest.fixture(autouse=True)
def away(tmp_path, monkeypatch):
    """No weir.toml but the one of a container, which has none."""
    monkeypatch.chdir(tmp_path)


def rest_of(name):
    return [instruction for instruction in DOCKERFILE if instruction.name == name]


def listened_on(name):
    """The ports of a container that others can reach, by its own settings."""
    service = SERVICES[name]
    if name in WEIRS:
        return {settings_of(name).http.port}
    if name == "kafka":
        return {port for host, port in kafka_addresses("KAFKA_LISTENERS").values() if host != "127.0.0.1"}
    if name == "grafana":
        return {int(service["environment"]["GF_SERVER_HTTP_PORT"])}
    return {int(re.search(r"--web\.listen-address=0\.0\.0\.0:(\d+)", " ".join(service["command"]))[1])}


def jobs():
    """The scrape jobs of Prometheus, each with the HOST:PORT that it asks."""
    for job in parsed(FILE["configs"]["prometheus"]["content"])["scrape_configs"]:
        targets = [target for static in job.get("static_configs", []) for target in static["targets"]]
        for names in job.get("dns_sd_configs", []):
            targets += [f"{name}:{names['port']}" for name in names["names"]]
        yield job, targets


def test_the_file_keeps_to_the_compose_specification():
    errors = Draft202012Validator(get_builtin_schema("vendor.compose-spec")).iter_errors(FILE)
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_three_weirs_are_looked_at():
    assert WEIRS == ["weir", "standby", "replica"]


@pytest.mark.parametrize("secret", GIVEN)
@pytest.mark.parametrize("value", [None, ""])
def test_nothing_starts_without_its_secrets(secret, value):
    given = {**GIVEN, secret: value} if value is not None else {name: GIVEN[name] for name in GIVEN.keys() - {secret}}
    with pytest.raises(NotSet, match=rf"\{{{secret}:\?set it"):
        compose(given)


def test_no_secret_is_written_down():
    written = re.findall(r"^ *(\w*(?:TOKEN|PASSWORD|SECRET)\w*): *(.*)", COMPOSE, re.MULTILINE)
    assert {name for name, _ in written} == {"WEIR_HTTP_TOKEN", "GF_SECURITY_ADMIN_PASSWORD"}
    assert [name for name, value in written if not value.startswith("${")] == []


@weirs
def test_every_variable_of_weir_is_a_setting(name):
    variables = {variable for variable in SERVICES[name]["environment"] if variable.startswith("WEIR_")}
    assert variables - known_variables() == set()
    assert len(variables) == len(SERVICES[name]["environment"])


@weirs
def test_the_settings_are_taken(name):
    settings = settings_of(name)
    check_exposure(settings.http)
    assert settings.http.token == GIVEN["WEIR_HTTP_TOKEN"]
    assert settings.source.partitions == 4
    assert settings.learner_args


@weirs
def test_weir_finds_kafka_where_it_says_it_is(name):
    place = settings_of(name).source.url.removeprefix("kafka:")
    assert KafkaTopic(place, KafkaOptions()).servers == ["kafka:9092"]
    assert ("kafka", 9092) in kafka_addresses("KAFKA_ADVERTISED_LISTENERS").values()
    assert SERVICES[name]["depends_on"]["kafka"]["condition"] == "service_healthy"


@weirs
def test_every_command_is_one_of_weir(name):
    command, *options = SERVICES[name]["command"]
    cli.get_command(None, command).make_context(command, options).close()


def test_every_listener_of_kafka_is_reached_by_the_name_that_it_gives():
    listening, advertised = kafka_addresses("KAFKA_LISTENERS"), kafka_addresses("KAFKA_ADVERTISED_LISTENERS")
    environment = SERVICES["kafka"]["environment"]
    controller = environment["KAFKA_CONTROLLER_LISTENER_NAMES"]
    assert {name: port for name, (_, port) in listening.items() if name != controller} == {
        name: port for name, (_, port) in advertised.items()
    }
    assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] == "1@{}:{}".format(*listening[controller])
    assert environment["KAFKA_INTER_BROKER_LISTENER_NAME"] in advertised
    assert set(re.findall(r"([A-Z]+):PLAINTEXT", environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"])) == set(listening)
    assert len(base64.urlsafe_b64decode(environment["CLUSTER_ID"] + "==")) == 16


def test_kafka_is_reached_from_outside_where_it_is_published():
    host, port = kafka_addresses("KAFKA_ADVERTISED_LISTENERS")["HOST"]
    assert published("kafka") == {port: (host, port)}


@services
def test_what_is_published_is_listened_on(name):
    assert published(name)
    assert len(published(name)) == len(SERVICES[name]["ports"])
    assert published(name).keys() <= listened_on(name)


def test_what_is_published_is_for_this_machine_only():
    addresses = [address for name in SERVICES for address in published(name).values()]
    assert {host for host, _ in addresses} == {"127.0.0.1"}
    assert len(set(addresses)) == len(addresses)


@pytest.mark.parametrize("kind", ["volumes", "configs", "secrets"])
def test_what_is_used_is_declared_and_the_other_way_round(kind):
    used = {config["source"] for service in SERVICES.values() for config in service.get(kind, []) if kind != "volumes"}
    if kind == "volumes":
        used = {volume for name in SERVICES for volume in mounts(name).values()}
    assert used == set(FILE.get(kind, {}))


@services
def test_a_service_waits_only_for_services(name):
    assert set(SERVICES[name].get("depends_on", [])) <= SERVICES.keys()


@services
def test_images_are_pinned(name):
    image, _, tag = SERVICES[name]["image"].rpartition(":")
    assert image
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)


def test_images_have_the_versions_that_the_project_has():
    assert {SERVICES[name]["image"] for name in WEIRS} == {f"weir:{PROJECT['project']['version']}"}
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{VERSION}"
    assert [name for name in WEIRS if "build" in SERVICES[name]] == ["weir"]


@weirs
def test_weir_is_asked_for_its_health_on_a_route_that_exists(name):
    (port, path), *others = re.findall(
        r"http://127\.0\.0\.1:(\d+)(/[^']*)", " ".join(SERVICES[name]["healthcheck"]["test"])
    )
    assert others == []
    assert int(port) == settings_of(name).http.port
    assert path == "/health/ready"
    assert "get" in document()["paths"][path]


@pytest.mark.parametrize(
    ("name", "asks"),
    [
        ("kafka", ["/opt/kafka/bin/kafka-topics.sh", "--bootstrap-server", "kafka:9092", "--list"]),
        ("prometheus", ["promtool", "check", "ready", "--url=http://127.0.0.1:9090"]),
        ("grafana", ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:3000/api/health"]),
    ],
)
def test_the_others_are_asked_for_their_health_on_a_port_that_they_listen_on(name, asks):
    assert SERVICES[name]["healthcheck"]["test"] == ["CMD", *asks]
    assert {int(port) for port in re.findall(r":(\d+)", " ".join(asks))} <= listened_on(name)


def test_prometheus_asks_every_weir_on_a_route_that_exists():
    assert sorted(target for _, targets in jobs() for target in targets) == sorted(
        f"{name}:{settings_of(name).http.port}" for name in WEIRS
    )
    for job, _ in jobs():
        route = document()["paths"][job["metrics_path"]]["get"]
        assert ("authorization" in job) == ("security" in route)


def test_prometheus_and_grafana_read_what_is_configured_here():
    mounted = {name: {config["source"]: config["target"] for config in SERVICES[name]["configs"]}
               for name in ("prometheus", "grafana")}  # fmt: skip
    assert f"--config.file={mounted['prometheus']['prometheus']}" in SERVICES["prometheus"]["command"]
    assert mounted["grafana"]["grafana-datasources"].startswith("/etc/grafana/provisioning/datasources/")


def test_grafana_asks_prometheus():
    (source,) = parsed(FILE["configs"]["grafana-datasources"]["content"])["datasources"]
    (port,) = listened_on("prometheus")
    assert (source["type"], source["url"]) == ("prometheus", f"http://prometheus:{port}")


def test_the_weirs_share_their_checkpoints_and_nothing_else():
    settings = {name: settings_of(name) for name in WEIRS}
    assert {volume_of(name, settings[name].checkpoints.url) for name in WEIRS} == {"checkpoints"}
    assert [volume_of(name, settings[name].state.dir) for name in WEIRS] == WEIRS


def test_what_the_others_must_not_forget_lies_in_volumes():
    assert volume_of("kafka", SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"]) == "kafka"
    assert "--storage.tsdb.path=/prometheus" in SERVICES["prometheus"]["command"]
    assert volume_of("prometheus", "/prometheus") == "prometheus"
    assert volume_of("grafana", "/var/lib/grafana") == "grafana"


def test_only_the_scale_profile_starts_more_than_one_weir():
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "standby": ["scale"],
        "replica": ["scale"],
    }


def copied():
    """What the Dockerfile takes from the folder that it stands in."""
    return [word for copy in rest_of("COPY") if "--from=" not in copy.rest for word in copy.words[:-1]]


def tracked():
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone: git cannot say which files belong to it")
    run = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


def test_what_is_copied_is_there_in_git_and_not_ignored():
    files = tracked()
    for source in copied():
        found = [file for file in files if file == source or file.startswith(f"{source}/")]
        assert found, source
        assert [file for file in found if is_ignored(file)] == []


def test_nothing_but_what_is_copied_is_sent_to_docker():
    sent = [file for file in tracked() if not is_ignored(file)]
    assert [file for file in sent if file.split("/")[0] not in copied()] == []
    unwanted = [".env", ".git/config", ".venv/bin/weir", "data/log/OWNER", "stream_app/__pycache__/cli.pyc"]
    assert [file for file in unwanted if not is_ignored(file)] == []


def test_all_that_the_project_consists_of_is_copied():
    packages = {name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages | {"pyproject.toml", "constraints.txt", PROJECT["project"]["readme"]} == set(copied())


def test_versions_are_those_of_the_constraints_and_nothing_is_compiled():
    (install,) = [run.rest for run in rest_of("RUN") if "pip install" in run.rest]
    assert install.endswith("--only-binary=:all: -c constraints.txt .")
    assert "apt" not in " ".join(run.rest for run in rest_of("RUN"))


def test_the_base_image_is_pinned_and_has_a_python_that_will_do():
    bases = {base.words[0] for base in rest_of("FROM")}
    assert len(bases) == 1
    version = re.fullmatch(r"python:(\d+\.\d+\.\d+)-slim-\w+", bases.pop())
    assert version[1] in SpecifierSet(PROJECT["project"]["requires-python"])


def test_the_image_runs_what_is_installed_without_a_shell_between():
    (entry,), (command,) = rest_of("ENTRYPOINT"), rest_of("CMD")
    assert entry.rest.startswith("[")
    assert command.rest.startswith("[")
    assert entry.words == ["weir"]
    assert entry.words[0] in PROJECT["project"]["scripts"]
    cli.get_command(None, command.words[0]).make_context(command.words[0], command.words[1:]).close()


def test_what_is_installed_is_on_the_path_of_the_image():
    (taken,) = [copy.words for copy in rest_of("COPY") if copy.stage == LAST_STAGE]
    (build,) = [base.words[2] for base in rest_of("FROM") if len(base.words) == 3]
    (path,) = rest_of("ENV")
    assert taken == [f"--from={build}", "/opt/weir", "/opt/weir"]
    assert path.rest == f"PATH={taken[2]}/bin:$PATH"
    assert f"python -m venv {taken[1]} " in " ".join(run.rest for run in rest_of("RUN"))


def test_the_image_runs_as_a_user_without_rights():
    (user,) = rest_of("USER")
    assert user.stage == LAST_STAGE
    uid = user.rest.split(":")[0]
    assert int(uid) >= 1000
    assert f"--uid {uid} " in " ".join(run.rest for run in rest_of("RUN"))
    assert DOCKERFILE.index(user) < DOCKERFILE.index(rest_of("ENTRYPOINT")[0])


@weirs
def test_volumes_are_mounted_on_folders_that_belong_to_the_user_of_the_image(name):
    (volumes,) = rest_of("VOLUME")
    (made,) = [run.rest for run in rest_of("RUN") if "mkdir" in run.rest]
    assert set(re.search(r"mkdir -p ([^&]+) &&", made)[1].split()) == set(volumes.words)
    assert made.endswith("chown -R weir:weir /weir")
    assert mounts(name).keys() == set(volumes.words)


@weirs
def test_the_image_names_the_port_that_weir_listens_on(name):
    (port,) = rest_of("EXPOSE")
    assert {int(port.rest)} == listened_on(name)


def test_what_the_documents_say_about_the_containers_is_so():
    page = (ROOT / "docs" / "kafka.md").read_text(encoding="utf-8")
    text = page.partition("## With Docker Compose\n")[2].partition("\n## ")[0]
    addresses = {f"127.0.0.1:{port}" for name in SERVICES for _, port in published(name).values()}
    assert set(re.findall(r"127\.0\.0\.1:\d+", text)) == addresses
    assert set(re.findall(r"^([A-Z_]+)=", text, re.MULTILINE)) == set(GIVEN)
    assert "docker-compose.yml" in (ROOT / "README.md").read_text(encoding="utf-8")
