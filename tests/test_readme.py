"""README is true: its tour runs, and it names every command, option, route and setting there is."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from kafka_broker import lasting_ports

from checkpoints import open_store
from formats.schema import Field, Schema
from stream_app.cli import cli
from stream_app.http.openapi import document
from stream_app.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LEARNT = """until curl -s localhost:8090/status | grep -q '"lag":0,'; do kill -0 $!; sleep 0.1; done\n"""
"""Who types is slower than what is learnt; this script is not."""


def test_the_tour_runs_as_it_stands(tmp_path):
    tour = README.split("<!-- tour -->")[1].split("<!-- /tour -->")[0]
    script = "\n".join(re.findall(r"```sh\n(.*?)```", tour, re.DOTALL)).replace("--retry 20 ", "--retry 240 ")
    for line in ("curl -s localhost:8090/predict ", "kill $!\n"):
        assert script.count(line) == 1
        script = script.replace(line, LEARNT + line)
    for number in itertools.count():
        folder = tmp_path / str(number)
        run = run_in(folder, script.replace("8090", str(lasting_ports(1)[0])))
        if "cannot be listened on" not in run.stderr:
            break  # else somebody has taken the port meanwhile
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    assert '"model":"live@0:1000"' in run.stdout
    store = open_store(str(folder / "data/checkpoints"))
    holes = store.load(store.head()).manifest.holes
    assert [(hole.first, hole.last) for hole in holes] == [(1001, 1251)]
    assert run.stdout.count(": whole") >= 3


def run_in(folder, script):
    folder.mkdir()
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", "trap 'jobs -p | xargs -r kill' EXIT\n" + script + "\nwait\n"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def commands(group, path):
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        yield f"{path} {name}", command
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")


@pytest.mark.parametrize(
    ("name", "command"), [pair for pair in commands(cli, "weir") if not hasattr(pair[1], "commands")]
)
def test_every_command_and_option_stands_in_the_readme(name, command):
    name = name.replace("weir at predict", "weir at PLACE predict")
    row = next((line for line in README.splitlines() if line.startswith(f"| `{name}")), None)
    assert row is not None, name
    for option in command.params:
        if option.param_type_name == "option" and option.name not in ("config", "is_json"):
            assert max(option.opts, key=len) in row, option.opts


def test_every_command_in_the_readme_exists():
    known = dict(commands(cli, "weir"))
    for line in README.splitlines():
        match = re.match(r"\| `(weir(?: [a-z]+)+)", line)
        if match is not None:
            assert match[1] in known


@pytest.mark.parametrize("page", ["README.md", "docs/http.md"])
def test_every_route_stands_in_the_documents(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for path, methods in document()["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in text


def test_every_setting_stands_in_the_readme_and_no_other():
    settings = set()
    for section in msgspec.structs.fields(Settings):
        settings |= {f"{section.encode_name}.{field.encode_name}" for field in msgspec.structs.fields(section.type)}
    named = set(re.findall(r"`([a-z]+\.[a-z_]+)`", README.split("## Settings")[1].split("##")[0]))
    assert named - {"weir.toml"} | {"schema.fields"} == settings
    assert {field.encode_name for field in msgspec.structs.fields(Field)} == {"type", "rename", "available_at"}
    assert Schema().label is None


def test_links_between_documents_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
