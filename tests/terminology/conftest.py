"""The official package, read once."""

import pytest

from fhir_server.r4.package import Package, load
from tests.fixtures import FIXTURES


@pytest.fixture(scope="session")
def package() -> Package:
    return load(FIXTURES / "definitions" / "hl7.fhir.r4.core-4.0.1.tgz")
