"""Which person an account of a patient's app is bound to.

_id  keyed hash of the account     patients  the Patients of its person at that time (each in one binding only: unique index)
b    sealed id of the Patient, under that Patient's data key: who is erased is bound no more
"""

from typing import Any

from fhir_server.store.documents import Codec, Document, resource_key
from fhir_server.store.keystore import KeyErased
from fhir_server.store.sealing import seal, unseal


def binding(codec: Codec, account: bytes, patient_id: str, patients: list[bytes]) -> Document:
    """The row that binds an account to the person of this Patient."""
    key = resource_key(codec, "Patient", patient_id)
    others = [one for one in patients if one != key]
    return {"_id": account, "patients": [key, *others], "b": seal(codec.keys.key(key), patient_id.encode(), account)}


def bound_patient(codec: Codec, stored: dict[str, Any]) -> str | None:
    """The id of the Patient; None once that person was erased."""
    try:
        return unseal(codec.keys.key(stored["patients"][0]), stored["b"], stored["_id"]).decode()
    except KeyErased:
        return None
