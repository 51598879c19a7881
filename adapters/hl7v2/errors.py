"""What is wrong with a message, as an acknowledgement can say it."""


class Hl7Error(Exception):
    """`code` is MSA-1 (table 0008: AE or AR), `condition` ERR-3 (table 0357), `location` a field such as `PID-3`."""

    def __init__(self, text: str, code: str = "AE", condition: int = 207, location: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.condition = condition
        self.location = location


SEGMENT_SEQUENCE, DATA_TYPE, UNSUPPORTED_TYPE, UNSUPPORTED_EVENT, UNKNOWN_KEY = 100, 102, 200, 201, 204
INTERNAL = 207
