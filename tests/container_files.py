"""What docker-compose.yml, Dockerfile and .dockerignore say, read as Docker reads them; for tests."""

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import msgspec
from ruamel.yaml import YAML

from stream_app import config
from stream_app.settings import Settings

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
GIVEN = {"WEIR_HTTP_TOKEN": "a-token-of-the-tests", "GRAFANA_PASSWORD": "a-password-of-the-tests"}
"""What somebody has to set before the containers start, and nothing else."""

_VARIABLE = re.compile(r"\$(?:\{([A-Z_]+):\?[^}]{20,}\})?")


class NotSet(Exception):
    """A variable of docker-compose.yml that Compose would refuse to go without."""


def parsed(text: str) -> Any:
    """YAML as plain values."""
    return YAML(typ="safe").load(text)


def compose(given: Mapping[str, str]) -> dict[str, Any]:
    """docker-compose.yml with its variables filled in. Only `${NAME:?what to do}` is known: nothing has a default."""

    def value(found: re.Match[str]) -> str:
        if not given.get(found[1]):
            raise NotSet(found[0])
        return given[found[1]]

    return dict(parsed(_VARIABLE.sub(value, COMPOSE)))


FILE = compose(GIVEN)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
WEIRS = [name for name, service in SERVICES.items() if service["image"].startswith("weir:")]


def settings_of(name: str) -> Settings:
    """The settings of a Weir service. Raises ConfigError as the service would."""
    return config.load(environment=SERVICES[name]["environment"])


def known_variables() -> set[str]:
    """Every WEIR_ variable that means something."""
    names = set()
    for section in msgspec.structs.fields(Settings):
        names |= {f"WEIR_{section.name}_{field.encode_name}".upper() for field in msgspec.structs.fields(section.type)}
    return names | {f"WEIR_{section}_{key}_FILE".upper() for section, key in config.SECRETS}


def kafka_addresses(variable: str) -> dict[str, tuple[str, int]]:
    """Host and port of each listener in KAFKA_LISTENERS or KAFKA_ADVERTISED_LISTENERS."""
    listeners = SERVICES["kafka"]["environment"][variable]
    return {name: (host, int(port)) for name, host, port in re.findall(r"([A-Z]+)://([^:,]*):(\d+)", listeners)}


def published(name: str) -> dict[int, tuple[str, int]]:
    """Per port of the container: the host's address and port."""
    ports = [re.fullmatch(r"(.+):(\d+):(\d+)", port) for port in SERVICES[name].get("ports", [])]
    return {int(port[3]): (port[1], int(port[2])) for port in ports if port is not None}


def mounts(name: str) -> dict[str, str]:
    """Per folder of the container: the volume mounted there."""
    parts = [mount.removesuffix(":ro").split(":") for mount in SERVICES[name].get("volumes", [])]
    return {target: volume for volume, target in parts}


def volume_of(name: str, folder: str) -> str | None:
    """The volume that a folder of the container lies in."""
    above = [folder, *map(str, PurePosixPath(folder).parents)]
    return next((mounts(name)[place] for place in above if place in mounts(name)), None)


class Instruction(NamedTuple):
    """One of the Dockerfile; `stage` counts from 0."""

    stage: int
    name: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The JSON list of an exec form, else what stands between spaces."""
        return json.loads(self.rest) if self.rest.startswith("[") else self.rest.split()


def dockerfile() -> list[Instruction]:
    """The instructions, without comments, each on one line."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    instructions: list[Instruction] = []
    stage = -1
    for line in filter(None, text.replace("\\\n", " ").splitlines()):
        name, _, rest = line.partition(" ")
        stage += name == "FROM"
        instructions.append(Instruction(stage, name, " ".join(rest.split())))
    return instructions


def is_ignored(path: str) -> bool:
    """By .dockerignore: the last line decides that names the path or a folder above it."""
    ignored = False
    above = [path, *map(str, PurePosixPath(path).parents)][:-1]
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern = re.escape(line.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
            if any(re.fullmatch(pattern, place) for place in above):
                ignored = not line.startswith("!")
    return ignored
