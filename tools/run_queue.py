"""Run the commands of a file, some at a time, each with one thread; finished ones are not repeated.

    python -m tools.run_queue FILE [--jobs 2]

Each line of the file is `name: command`, run by the shell with `{name}` replaced by the name. Lines
may be added while the queue runs. Output goes to `FILE.d/name.log`; `FILE.d/name.done` marks
success.
"""

import argparse
import os
import subprocess
import time
from pathlib import Path

PAUSE = 5.0
"""Seconds between two looks at the file."""


def read_commands(path: Path) -> dict[str, str]:
    """The commands by name, in order; blank lines and those that start with # are skipped."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {name.strip(): command.strip() for name, _, command in pairs}


def start(name: str, command: str, logs: Path) -> subprocess.Popen[bytes]:
    """Start a command with one thread and low priority."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            ["/usr/bin/nice", "-n", "19", "/bin/bash", "-c", command.replace("{name}", name)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )


def main() -> None:
    """Run the queue until every command has run once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    logs = arguments.file.with_name(f"{arguments.file.name}.d")
    logs.mkdir(exist_ok=True)
    running: dict[str, subprocess.Popen[bytes]] = {}
    tried = set[str]()
    while True:
        for name, process in list(running.items()):
            if process.poll() is not None:
                del running[name]
                if process.returncode == 0:
                    (logs / f"{name}.done").touch()
                print(
                    f"{time.strftime('%H:%M:%S')} {name}: status {process.returncode}", flush=True
                )
        waiting = {
            name: command
            for name, command in read_commands(arguments.file).items()
            if name not in tried and not (logs / f"{name}.done").exists()
        }
        if not waiting and not running:
            return
        for name, command in list(waiting.items())[: arguments.jobs - len(running)]:
            tried.add(name)
            running[name] = start(name, command, logs)
            print(f"{time.strftime('%H:%M:%S')} {name}: started", flush=True)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
