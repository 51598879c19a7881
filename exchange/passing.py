"""Which errors pass by themselves: a 503, whichever door was asked at."""

import logging

from fhir_server.store.database import is_full, is_unavailable
from fhir_server.store.keystore import KeyErased, KeysUnavailable

log = logging.getLogger("hie.trouble")


def is_passing(error: Exception) -> bool:
    """Whether the same request may succeed in a moment; of what somebody must see to the log says what to do."""
    if is_full(error):
        log.error("the disk of MongoDB is full: nothing is written until there is room on it")
    if isinstance(error, KeysUnavailable):
        log.error("the key store cannot be used (%s): see to the disk and the rights of keys/ in the data folder", error)
    return is_unavailable(error) or isinstance(error, KeyErased | KeysUnavailable)  # the rows of an erased one go in a moment
