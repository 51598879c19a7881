"""What went wrong, in FHIR's terms. One place turns it into an OperationOutcome (http/outcomes.py)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue: `code` from the issue-type value set, `expression` a FHIRPath such as `Patient.birthDate`."""

    code: str
    text: str
    expression: str | None = None
    severity: str = "error"


class FhirError(Exception):
    """An HTTP status and the issues that explain it. Texts never quote a person's data."""

    def __init__(self, status: int, code: str, text: str, expression: str | None = None, more: Sequence[Issue] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.issues = (Issue(code, text, expression), *more)

    def at(self, place: str, resource_type: str) -> "FhirError":
        """The same error of a resource that stands somewhere: its expressions then start from there."""
        moved = [replace(one, expression=_moved(one.expression, place, resource_type)) for one in self.issues]
        first = moved[0]
        return FhirError(self.status, first.code, first.text, first.expression, moved[1:])


def _moved(expression: str | None, place: str, resource_type: str) -> str:
    return place + (expression or "").removeprefix(resource_type)
