"""$validate (R4 resource-operation-validate.html): what is wrong with a resource, or stands in the way of writing it."""

import asyncio
from collections.abc import Sequence
from typing import Any

from consent.caller import Caller
from fhir_server.r4.errors import FhirError, Issue
from fhir_server.r4.validation import validate
from fhir_server.record.accesses import Access
from fhir_server.record.applying import require_writable
from fhir_server.record.checking import SCOPE
from fhir_server.record.context import Record
from fhir_server.record.gate import View, require_scope, view
from fhir_server.record.profiling import found
from fhir_server.record.reading import visible
from fhir_server.store.documents import Document, patients_of

INSTANCE_MODES = ("update", "delete")


async def problems(
    record: Record,
    caller: Caller,
    resource_type: str,
    resource_id: str | None,
    resource: dict[str, Any] | None,
    mode: str,
    asked_profiles: Sequence[str] = (),
) -> list[Issue]:
    """The issues, none if all is well; `mode` is "" or create, update, delete.

    404 for an instance that may not be seen, 422 for a profile that is asked about and not loaded.
    """
    asked = f"{resource_type}/{resource_id}/$validate" if resource_id else f"{resource_type}/$validate"
    access = Access(caller, "operation-validate", asked, record.clock())
    if resource_id is None:
        sight, current = await view(record, caller), None
        await record.audit.record(access.entry())
    else:
        sight, current = await visible(record, access, resource_type, resource_id)
        await record.audit.record(access.entry((current,), reason=sight.decision(current).reason))
    content = [] if resource is None or mode == "delete" else await asyncio.to_thread(_content, resource, resource_type)
    if not content and resource is not None and mode != "delete":
        content = await found(record, caller, resource, asked_profiles)
    if not mode or any(one.severity == "error" for one in content):
        return content
    return content + _writing(sight, mode, resource_type, resource_id, resource, current)


def _content(resource: dict[str, Any], resource_type: str) -> list[Issue]:
    if resource.get("resourceType") != resource_type:
        return [Issue("invalid", f"the URL says {resource_type}; this must be a {resource_type}", "resourceType")]
    return _refused(validate, resource)


def _writing(
    sight: View,
    mode: str,
    resource_type: str,
    resource_id: str | None,
    resource: dict[str, Any] | None,
    current: Document | None,
) -> list[Issue]:
    """What a create, update or delete would be refused for, as far as that can be said without the transaction."""
    refusals = _refused(require_scope, sight.caller, resource_type, SCOPE[mode])
    if current is not None and "b" not in current and mode == "delete":
        refusals.append(Issue("deleted", "it was deleted already", resource_type))
    if current is not None and not sight.may_change(current):
        refusals.append(Issue("forbidden", f"only the custodian of a record may {mode} it", resource_type))
    if mode == "update" and resource is not None and resource.get("id") != resource_id:
        refusals.append(Issue("invalid", "must be the id in the URL", f"{resource_type}.id"))
    if mode != "delete" and resource is not None:
        named = resource if "id" in resource else {**resource, "id": "new"}
        about = {"p": patients_of(sight.record.codec, named)}
        refusals += _refused(require_writable, sight, about)
    return refusals


def _refused(check: Any, *given: Any) -> list[Issue]:
    try:
        check(*given)
    except FhirError as error:
        return list(error.issues)
    return []
