"""What is wrong with an expression, or with what it was given."""


class FhirPathError(ValueError):
    """An expression that cannot be read, or does not fit its input. The text never quotes the input."""
