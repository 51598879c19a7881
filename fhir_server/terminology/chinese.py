"""The Chinese lists of diagnoses and procedures: what they are called, and their hierarchy, which stands in the codes.

Both are editions of the National Healthcare Security Administration: codes of the classification (ICD-10: category A01,
subcategory A01.0; ICD-9-CM-3: 00, 00.0, 00.01) with two national digits (A01.000), and with an extension (A01.000x004).
"""

import re
from collections.abc import Callable, Collection
from typing import Any

ICD_10 = "urn:oid:2.16.156.10011.2.3.3.11"
ICD_9_CM_3 = "urn:oid:2.16.156.10011.2.3.3.12"

_COMMON = {
    "resourceType": "CodeSystem",
    "version": "NHSA",
    "status": "active",
    "language": "zh-Hans",
    "content": "complete",
    "caseSensitive": True,
    "hierarchyMeaning": "is-a",
    "property": [
        {"code": "notSelectable", "uri": "http://hl7.org/fhir/concept-properties#notSelectable", "type": "boolean"},
    ],
}
CHINESE: dict[str, dict[str, Any]] = {
    "icd10-cn": _COMMON
    | {"url": ICD_10, "name": "ICD10NHSA", "title": "医疗保障疾病诊断分类与代码（ICD-10）", "valueSet": f"{ICD_10}:vs"},
    "icd9cm3-cn": _COMMON
    | {
        "url": ICD_9_CM_3,
        "name": "ICD9CM3NHSA",
        "title": "医疗保障手术操作分类与代码（ICD-9-CM-3）",
        "valueSet": f"{ICD_9_CM_3}:vs",
    },
}
"""Name of the list -> its CodeSystem without concepts. docs/terminology.md says why these identifiers."""

Parents = Callable[[str, Collection[str]], tuple[str, ...]]

_EXTENSION = re.compile(r"x\d{3,4}$")
_LEVELS = {ICD_10: (5, 3), ICD_9_CM_3: (5, 4, 2)}


def parents_of(system: str) -> Parents | None:
    """For a list whose codes tell their hierarchy: code, codes of the list -> its parents, which the list may not have."""
    levels = _LEVELS.get(system)
    return (lambda code, listed: _parents(code, listed, levels)) if levels else None


def _parents(code: str, listed: Collection[str], levels: tuple[int, ...]) -> tuple[str, ...]:
    """An extension is below what it extends; a dagger code with an asterisk (A01.001+K77.0*) is below both."""
    dagger, plus, asterisk = code.partition("+")
    stem = _EXTENSION.sub("", dagger)
    above = [known for known in (stem + plus + asterisk, stem) if known != code and known in listed][:1]
    above = above or [dagger[:length] for length in levels if length < len(dagger) and dagger[length - 1] != "x"][:1]
    return (*above, asterisk.rstrip("*")) if asterisk else tuple(above)
