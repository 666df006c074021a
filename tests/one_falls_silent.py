"""`s2s` where the second process stops to answer, for `test_cli_ranks.py`."""

import os
import time
from datetime import timedelta

from s2s_cli import cli
from s2s_cli import parallel as distributed
from s2s_cli.training import step as gradients

distributed.LONGEST_WAIT = timedelta(seconds=5)
if os.environ["RANK"] == "1":
    gradients.batch_loss = lambda *_: time.sleep(600)  # type: ignore[assignment]

cli.main()
