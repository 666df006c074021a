"""Python runs this as it starts, where this folder is on its path: a command is audited as well."""

import sys
from pathlib import Path

_tests = str(Path(__file__).parents[1])
sys.path.insert(0, _tests)

import audit  # noqa: E402

sys.path.remove(_tests)
audit.install()
