"""DESIGN 1: imports point one way, and there is no way to the store around `record`."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = (
    "exchange",
    "adapters",
    "adapters.hl7v2",
    "consent",
    "telemedicine",
    "telemedicine.pairing",
    "portal",
    "fhir_server",
    "fhir_server.http",
    "fhir_server.persons",
    "fhir_server.record",
    "fhir_server.store",
    "fhir_server.search",
    "fhir_server.terminology",
    "fhir_server.r4",
)


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    config = ["--config", str(ROOT / "pyproject.toml")]
    return subprocess.run([*command, *config], cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True)


def _house(folder: Path) -> Path:
    """A house of empty rooms."""
    for room in ROOMS:
        path = folder / room.replace(".", "/")
        path.mkdir(parents=True)
        (path / "__init__.py").touch()
    return folder


def test_the_contracts_hold() -> None:
    result = _lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("room", "imports", "broken"),
    [
        ("adapters", "fhir_server.http", "Imports point one way"),
        ("fhir_server.http", "adapters", "Imports point one way"),
        ("telemedicine", "fhir_server.http", "Imports point one way"),
        ("telemedicine", "adapters", "Imports point one way"),
        ("portal", "telemedicine", "Imports point one way"),
        ("portal", "fhir_server.http", "Imports point one way"),
        ("fhir_server.record", "fhir_server.persons", "Imports point one way"),
        ("fhir_server.store", "fhir_server.record", "Imports point one way"),
        ("consent", "fhir_server.search", "Imports point one way"),
        ("fhir_server.r4", "consent", "Imports point one way"),
        ("fhir_server.terminology", "fhir_server.search", "Imports point one way"),
        ("consent", "exchange", "Imports point one way"),
        ("telemedicine", "fhir_server.store", "No way to patient data around record"),
        ("portal", "fhir_server.store", "No way to patient data around record"),
        ("adapters", "fhir_server.store", "No way to patient data around record"),
        ("fhir_server.http", "fhir_server.store", "No way to patient data around record"),
        ("fhir_server.persons", "fhir_server.store", "No way to patient data around record"),
        ("fhir_server.persons", "pymongo", "Only the store talks to MongoDB"),
        ("telemedicine", "pymongo", "Only the store talks to MongoDB"),
        ("portal", "pymongo", "Only the store talks to MongoDB"),
        ("adapters", "bson", "Only the store talks to MongoDB"),
        ("consent", "pymongo.errors", "Pure rooms stay pure"),
        ("fhir_server.r4", "httpx", "Pure rooms stay pure"),
        ("fhir_server.terminology", "httpx", "Pure rooms stay pure"),
        ("fhir_server.search", "fastapi", "Pure rooms stay pure"),
        ("telemedicine.pairing", "asyncio", "Pure rooms stay pure"),
        ("adapters.hl7v2", "asyncio", "Pure rooms stay pure"),
    ],
)
def test_a_wrong_import_is_caught(tmp_path: Path, room: str, imports: str, broken: str) -> None:
    house = _house(tmp_path)
    (house / room.replace(".", "/") / "wrong.py").write_text(f"import {imports}\n")
    result = _lint(house)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{broken} BROKEN" in result.stdout


def test_right_imports_pass(tmp_path: Path) -> None:
    house = _house(tmp_path)
    for room, imports in (
        ("exchange", "fhir_server.store"),
        ("fhir_server.record", "fhir_server.store"),
        ("adapters", "asyncio"),
    ):
        (house / room.replace(".", "/") / "right.py").write_text(f"import {imports}\n")
    (house / "fhir_server/store/right.py").write_text("import pymongo, consent\n")
    result = _lint(house)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_file_of_a_package_is_shipped() -> None:
    """Tables lie beside the code that reads them; one whose suffix is not listed would be missing from an installation."""
    shipped = {pattern.removeprefix("**/*") for pattern in PROJECT["tool"]["setuptools"]["package-data"]["*"]} | {".py", ".pyc"}
    files = [path for room in PROJECT["tool"]["importlinter"]["root_packages"] for path in (ROOT / room).rglob("*.*")]
    assert [path.name for path in files if path.is_file() and path.suffix not in shipped] == []


def test_each_dependency_is_justified_in_the_readme() -> None:
    """How work gets done: one line of the README for each."""
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Dependencies")[2]
    named = set(re.findall(r"[\w.-]+", "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))))
    assert {re.split(r"[<>=;\[]", one)[0].strip() for one in wanted} - named == set()
