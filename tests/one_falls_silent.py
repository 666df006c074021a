"""`s2s` where the second process stops to answer, for `test_cli_ranks.py`."""

import os
import time
from datetime import timedelta

from s2s_cli import cli
from s2s_cli import parallel as distributed
from s2s_cli.training.loss import LossModule

distributed.COLLECTIVE_TIMEOUT = timedelta(seconds=5)
if os.environ["RANK"] == "1":
    LossModule.forward = lambda *_: time.sleep(600)  # type: ignore[assignment, method-assign]

cli.main()
