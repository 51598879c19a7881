"""What went wrong, in FHIR's terms. One place turns it into an OperationOutcome (http/outcomes.py)."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue: `code` from the issue-type value set, `expression` a FHIRPath such as `Patient.birthDate`."""

    code: str
    text: str
    expression: str | None = None


class FhirError(Exception):
    """An HTTP status and the issues that explain it. Texts never quote a person's data."""

    def __init__(self, status: int, code: str, text: str, expression: str | None = None, more: Sequence[Issue] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.issues = (Issue(code, text, expression), *more)
