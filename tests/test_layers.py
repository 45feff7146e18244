"""Imports point inward only, and foreign packages stay in the one module that knows them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("stream_app", "learners", "formats", "checkpoints", "tools")

MAY_IMPORT = {
    "tools": {"tools", "stream_app", "learners", "formats", "checkpoints"},
    "stream_app": {"stream_app", "learners", "formats", "checkpoints"},
    "learners": {"learners", "formats"},
    "formats": {"formats"},
    "checkpoints": {"checkpoints"},
}

ONLY_IN: dict[str, str | tuple[str, ...]] = {
    "aiohttp": "stream_app/http/",
    "vowpalwabbit": "learners/vw",
    "pylibvw": "learners/vw",
    "river": "learners/river.py",
    "aiokafka": ("stream_app/sources/kafka", "stream_app/faust_"),
    "faust": "stream_app/faust_",
}

FOLDERS = {*OURS, "tests", "docs"}


def modules(folder: str) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / folder).rglob("*.py"))]


def imported(module: str) -> Iterator[str]:
    """Every module name imported anywhere in the file, at the top or within a function."""
    for node in ast.walk(ast.parse((ROOT / module).read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def packages(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imported(module)}


@pytest.mark.parametrize("folder", OURS)
def test_imports_point_inward_only(folder: str) -> None:
    outward = {name: packages(name) & set(OURS) - MAY_IMPORT[folder] for name in modules(folder)}
    assert {name: found for name, found in outward.items() if found} == {}


@pytest.mark.parametrize("folder", OURS)
def test_imports_are_absolute(folder: str) -> None:
    assert [name for name in modules(folder) if any(found.startswith(".") for found in imported(name))] == []


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_foreign_package_is_imported_only_where_it_is_known(package: str) -> None:
    home = ONLY_IN[package]
    users = [name for folder in OURS if folder != "tools" for name in modules(folder) if package in packages(name)]
    assert [name for name in users if not name.startswith(home)] == []


def test_the_embedding_packages_are_really_looked_at() -> None:
    assert "pylibvw" in packages("learners/vw.py")
    assert "river" in packages("learners/river.py")
    assert any("aiohttp" in packages(name) for name in modules("stream_app/http"))


def test_only_the_fixed_top_level_folders_hold_code() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    generated = {name for name in folders if name.endswith(".egg-info") or name in ("__pycache__", "build", "data")}
    assert folders - generated <= FOLDERS
    assert list(ROOT.glob("*.py")) == []
