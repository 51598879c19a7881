"""Where the test data lie (`HIE_FIXTURES` overrides the place)."""

import os
from pathlib import Path

FIXTURES = Path(os.environ.get("HIE_FIXTURES") or Path(__file__).resolve().parents[2] / "shared" / "fixtures")
