"""DESIGN 6: settings are environment variables HIE_*, each documented."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exchange.cli import main
from exchange.settings import SettingError, Settings, read, table, variable

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = [variable(field) for field in dataclasses.fields(Settings)]
PACKAGES = ("fhir_server", "consent", "adapters", "telemedicine", "portal", "exchange")


def test_an_empty_environment_gives_the_defaults() -> None:
    assert read({}) == Settings()
    assert read({"HIE_PORT": "", "PORT": "1"}) == Settings()


def test_each_is_read_as_its_type(tmp_path: Path) -> None:
    region = tmp_path / "region.toml"
    region.touch()
    settings = read({"HIE_DATA": "/x", "HIE_PORT": "0", "HIE_REGION": str(region), "HIE_BASE_URL": "https://a/fhir/"})
    assert (settings.data, settings.port, settings.region, settings.base_url) == (Path("/x"), 0, region, "https://a/fhir")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HIE_PORT", "80 80", "a whole number from 0 to 65535"),
        ("HIE_PORT", "65536", "a whole number from 0 to 65535"),
        ("HIE_MAX_BODY", "-1", "a whole number from"),
        ("HIE_TOKEN_LIFETIME", "1e3", "a whole number from 30 to 3600"),
        ("HIE_DEFAULT_POLICY", "open", "one of permit-treatment, "),
        ("HIE_MONGODB_URI", "localhost:27017", "a URL starting mongodb://"),
        ("HIE_MONGODB_CACHE_GB", "nan", "a number of GB"),
        ("HIE_MONGODB_CACHE_GB", "much", "a number of GB"),
        ("HIE_REGION", "/nowhere.toml", "a file that exists"),
    ],
)
def test_a_bad_value_is_refused_by_name_and_not_quoted(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} must be .*{re.escape(says)}") as caught:
        read({name: value})
    assert value not in str(caught.value)


def test_tls_needs_certificate_and_key(tmp_path: Path) -> None:
    pem = tmp_path / "pem"
    pem.touch()
    for name in ("HIE_MLLP_TLS_CERT", "HIE_MLLP_TLS_KEY", "HIE_MLLP_TLS_CA"):
        with pytest.raises(SettingError, match=f"{name} needs HIE_MLLP_TLS_"):
            read({name: str(pem)})


def test_the_readme_documents_each() -> None:
    """The table that `python -m exchange.settings` prints stands in README.md as it is."""
    assert table() in (ROOT / "README.md").read_text()


def test_the_table_can_be_printed() -> None:
    printed = subprocess.run([sys.executable, "-m", "exchange.settings"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == table()


def test_the_code_reads_no_other() -> None:
    sources = [path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert {name for source in sources for name in re.findall(r"HIE_[A-Z][A-Z_]*[A-Z]", source)} <= set(VARIABLES)


@pytest.mark.parametrize("place", ["file", "file/data", "file/a/b"])
def test_a_data_folder_that_cannot_be_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str) -> None:
    """Settings that cannot be end in one line that says what to do: here something else is in the folder's place"""
    (tmp_path / "file").write_text("")
    assert main(["token", "--kind", "admin", "--data", str(tmp_path / place)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "file") in line and line.endswith("; choose another data folder with --data")
