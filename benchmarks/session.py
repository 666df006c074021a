"""A complete benchmark: what is measured in which order, and what is recorded.

Systems alternate (A B C A B C), so that other load on the machine affects all of them alike.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.environments import BENCH
from benchmarks.errors import RunError
from benchmarks.machine import product_rates
from benchmarks.measure import Measured, run
from benchmarks.results import Facts, Key, Results
from benchmarks.systems.catalogue import System, environment_of, switched
from benchmarks.systems.tool import Line, Tool, Training, Translation, speed_between
from benchmarks.work import Work
from s2s_cli.console import say, warn

SEARCHES = {"greedy": 1, "beam5": 5}
PARTS = {"all": "test", "one": "one"}
"""Parts of the test set, and the file of each."""


def plan(systems: list[System], work: Work) -> Iterator[Key]:
    """All measurements, in order."""
    tools = list(dict.fromkeys(system.tool.name for system in systems))
    for repetition in range(work.scale.repetitions):
        yield Key("products", "", repetition)
        for system in systems:
            if system.train_options is not None:
                yield Key("train", system.name, repetition)
    for run_number in range(work.scale.help_runs):
        for name in tools:
            yield Key("help", name, run_number)
    for name in tools:
        yield Key("model", name, 0)
    for repetition in range(work.scale.repetitions):
        for search in SEARCHES:
            for system in systems:
                if system.translate_options is not None:
                    for part in PARTS:
                        yield Key("translate", system.name, repetition, search, part)


class Session:
    """A running benchmark."""

    def __init__(self, work: Work, systems: list[System], results: Results) -> None:
        self.work = work
        self.results = results
        self.systems = systems
        self._by_name = {system.name: system for system in systems}
        self._tools = {system.tool.name: system.tool for system in systems}
        self.failed: dict[str, str] = {}
        """Errors by the name of the system, which is then left out."""

    def measure_all(self) -> None:
        """Take all missing measurements; leave out a system after its first failure."""
        keys = [key for key in plan(self.systems, self.work) if not self.results.has(key)]
        for number, key in enumerate(keys, 1):
            if key.system in self.failed or self._lacks_model(key):
                continue
            say(f"[{number}/{len(keys)}] {' '.join(str(part) for part in key if part != '')}")
            try:
                self.results.add(key, self._measure(key))
            except RunError as error:
                warn(f"{key.system} is left out from now on: {error}")
                self.failed[key.system] = str(error)

    def _lacks_model(self, key: Key) -> bool:
        if key.kind != "translate":
            return False
        return not self._is_trained(self._by_name[key.system].tool)

    def _measure(self, key: Key) -> Facts:
        match key.kind:
            case "products":
                return product_rates(self.work.device)
            case "train":
                return self._train(self._by_name[key.system], key)
            case "help":
                tool = self._tools[key.system]
                environment = self._environment(self._system_of(tool))
                return described(run(tool.help, self._log_of(key), environment, None))
            case "model":
                return self._make_model(self._tools[key.system], key)
            case _:
                return self._translate(self._by_name[key.system], key)

    def _system_of(self, tool: Tool) -> System:
        return next(system for system in self.systems if system.tool is tool)

    def _log_of(self, key: Key) -> Path:
        """The log of a process; each work has its own folder."""
        name = "-".join(str(part) for part in key if part != "")
        return BENCH / "logs" / self.work.folder.name / f"{name}.log"

    def _environment(self, system: System) -> dict[str, str]:
        return environment_of(system, self.work.device)

    def _train(self, system: System, key: Key) -> Facts:
        """Measure the speed of training between two updates, and its peak memory."""
        tool, scale, folder = system.tool, self.work.scale, empty(BENCH / "runs" / system.name)

        def is_done(line: str) -> bool:
            return any(r.step >= scale.last for r in tool.read_reports([Line(0.0, line)]))

        command = tool.train(Training(self.work, folder, scale.last, system.train_options or ()))
        ends = None if tool.stops_by_itself else is_done
        measured = run(command, self._log_of(key), self._environment(system), ends)
        speed = speed_between(tool.read_reports(measured.lines), scale.first, scale.last)
        shutil.rmtree(folder)
        if speed is None:
            raise RunError(
                f"{system.name}: did not report updates {scale.first} and {scale.last}; "
                f"{self._log_of(key)} has its output"
            )
        return {
            **described(measured),
            "updates": [scale.first, scale.last],
            "tokens": speed.tokens,
            "seconds": speed.seconds,
            "tokens_per_second": speed.tokens / speed.seconds,
        }

    def _model_folder(self, tool: Tool) -> Path:
        return BENCH / "models" / f"{tool.name}-{self.work.digest[:12]}"

    def _is_trained(self, tool: Tool) -> bool:
        return (self._model_folder(tool) / "trained").is_file()

    def _make_model(self, tool: Tool, key: Key) -> Facts:
        """Train the model that all settings of a tool translate with."""
        if self._is_trained(tool):
            return {"was_there": True}
        folder, system = empty(self._model_folder(tool)), switched(tool, self.work.device)
        command = tool.train(Training(self.work, folder, self.work.scale.updates))
        measured = run(command, self._log_of(key), self._environment(system), None)
        (folder / "trained").touch()
        return described(measured)

    def _translate(self, system: System, key: Key) -> Facts:
        """Measure the translation of all test sentences, or of one, including loading."""
        split = PARTS[key.part]
        folder = BENCH / "translations" / self.work.folder.name
        output = folder / f"{system.name}-{key.search}-{key.part}.txt"
        output.parent.mkdir(parents=True, exist_ok=True)
        output.unlink(missing_ok=True)
        translation = Translation(
            self.work,
            self._model_folder(system.tool),
            self.work.text(split, "src"),
            output,
            SEARCHES[key.search],
            system.translate_options or (),
        )
        command = system.tool.translate(translation)
        measured = run(command, self._log_of(key), self._environment(system), None)
        lines = read_lines(output) if output.is_file() else []
        references = read_lines(self.work.text(split, "tgt"))
        if len(lines) != len(references):
            raise RunError(
                f"{system.name}: wrote {len(lines)} translations of {len(references)} sentences; "
                f"{self._log_of(key)} has its output"
            )
        return {
            **described(measured),
            "sentences": len(lines),
            "tokens": sum(len(line.split()) for line in lines),
            "bleu_tokens": token_bleu(lines, references),
        }


def described(measured: Measured) -> Facts:
    """The recorded facts of a measured process."""
    return {
        "wall_seconds": measured.wall_seconds,
        "cpu_seconds": measured.cpu_seconds,
        "peak_mb": measured.peak_mb,
        "others_cores": measured.others_cores,
        "load_before": measured.load_before,
    }


def empty(folder: Path) -> Path:
    """Empty the folder, or make it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def read_lines(path: Path) -> list[str]:
    """The lines of a text file."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def token_bleu(lines: Iterable[str], references: Iterable[str]) -> float:
    """BLEU of the tokens, which shows whether a system has learnt as much as the others."""
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415 (half a second)

    metric = BLEU(tokenize="none", force=True)
    return float(metric.corpus_score(list(lines), [list(references)]).score)
