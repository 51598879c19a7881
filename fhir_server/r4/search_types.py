"""Which datatypes each type of search parameter can search (search.html#2.21.1.16)."""

# What each type of parameter can index. Anything else on a path, such as the string of a
# dateTime|string choice behind a date parameter, is left out.
USABLE: dict[str, frozenset[str]] = {
    "token": frozenset({
        "Coding", "CodeableConcept", "Identifier", "ContactPoint", "code", "boolean", "string", "uri", "canonical", "id", "oid",
        "uuid", "markdown",
    }),
    "reference": frozenset({"Reference", "canonical", "uri", "url", "Resource"}),
    "string": frozenset({"string", "markdown", "HumanName", "Address", "code", "uri"}),
    "date": frozenset({"date", "dateTime", "instant", "Period", "Timing"}),
    "number": frozenset({"integer", "decimal", "positiveInt", "unsignedInt", "Range"}),
    "quantity": frozenset({"Quantity", "Age", "Duration", "Count", "Distance", "SimpleQuantity", "Money", "Range"}),
    "uri": frozenset({"uri", "url", "canonical", "oid", "uuid"}),
}  # fmt: skip
