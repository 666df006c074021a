"""Small worlds that several tests share."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import audit
import hypothesis
import pytest
import tally as fault_tally
import torch

from s2s_cli.config import Model
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.vocabulary import PAD_ID

# Tiny tensors gain nothing from threads, and lose much where cores are shared.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

# A shell that starts the tests by `&` lets them ignore it, and with them all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("s2s", deadline=None)
hypothesis.settings.load_profile("s2s")

# Workers of pytest inherit the file of the first process.
if audit.LOG not in os.environ:
    os.environ[audit.LOG] = str(Path(tempfile.mkdtemp(prefix="s2s-audit-")) / "log")
os.environ["PYTHONPATH"] = os.pathsep.join(
    dict.fromkeys([str(audit.FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])])
)
audit.install()

tally = fault_tally.tally
pytest_runtest_makereport = fault_tally.pytest_runtest_makereport

REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1)


@pytest.fixture
def real_data() -> Path:
    """Real corpora, where they lie beside the checkout; never a part of the project."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real corpora in {REAL_DATA}")
    return REAL_DATA


CELLS = ("rnn", "gru", "lstm")
SCORERS = ("additive", "general", "dot", "scaled_dot")
CONTEXTS: list[dict[str, object]] = [
    {"context": "initial"},
    {"context": "every_step"},
    *({"attend": "before", "attention": scorer} for scorer in SCORERS),
    *({"attend": "after", "attention": scorer} for scorer in SCORERS),
    *({"attend": "after", "attention": scorer, "input_feeding": True} for scorer in SCORERS),
    *({"attend": "below", "attention": scorer} for scorer in SCORERS),
    *({"attend": "between", "attention": scorer} for scorer in SCORERS),
]
EXTRAS: list[dict[str, object]] = [
    {"bidirectional": False, "num_layers": 1},
    {"reverse_source": True, "residual": True},
    {"layer_norm": "output", "num_layers": 3, "residual": True},
    {"transition_depth": 2, "encoder": {"transition_depth": 3}, "num_layers": 1},
    {"layer_norm": "cell"},
    {"layer_norm": "cell", "transition_depth": 2, "num_layers": 1, "bidirectional": False},
    {"decoder_start": "mean", "word_dropout": 0.2},
    {"decoder_start": "zero", "variational": True},
    {"decoder_start": "dense", "encoder": {"hidden_size": 8, "num_layers": 1}},
    {"readout": "linear", "encoder": {"embed_size": 7}},
    {"readout": "tanh", "tied": "output"},
    {"readout": "maxout", "tied": "all", "embed_dropout": 0.0, "output_dropout": 0.5},
]


def _fits(kind: dict[str, object]) -> bool:
    """Whether a combination makes sense; those that do not are refused, which has its own test."""
    try:
        make_config(kind)
    except ValueError:
        return False
    return True


def make_config(kind: dict[str, object]) -> Model:
    """The configuration of a tiny model."""
    return Model.model_validate(
        {"embed_size": 5, "hidden_size": 6, "attention_size": 4, "dropout": 0.3, **kind}
    )


KINDS: list[dict[str, object]] = [
    *(
        {"cell": cell, "context": context, "num_layers": layers, "bidirectional": bidirectional}
        for cell in ("gru", "lstm")
        for context in ("initial", "attention")
        for layers, bidirectional in ((1, True), (2, False))
    ),
    {"cell": "gru", "attend": "between"},
    {"cell": "lstm", "attend": "between", "layer_norm": "cell", "transition_depth": 2},
]
"""A handful of models, for tests that take long."""

ALL_KINDS = [
    kind
    for kind in (
        *({"cell": cell, "num_layers": 2, **seen} for cell in CELLS for seen in CONTEXTS),
        *(
            {"cell": cell, "num_layers": 2, **seen, **extra}
            for cell in CELLS[1:]
            for seen in CONTEXTS[:3] + CONTEXTS[7::4]
            for extra in EXTRAS
        ),
    )
    if _fits(kind)
]
"""Every cell with every view of the source, and, for GRU and LSTM, every option with one view of
each sort."""


def describe_kind(kind: dict[str, object]) -> str:
    """A short name for a test's title."""
    values = (f"{key}={value}" if isinstance(value, bool) else value for key, value in kind.items())
    return "-".join(map(str, values))


def make_model(
    kind: dict[str, object], src_vocab: int = 12, tgt_vocab: int = 10, scale: float = 5.0
) -> Seq2Seq:
    """A tiny model in evaluation mode; its weights are scaled up, so that its choices are firm."""
    torch.manual_seed(1)
    config = make_config(kind)
    if config.tied == "all":
        src_vocab = tgt_vocab = max(src_vocab, tgt_vocab)
    model = Seq2Seq(config, src_vocab, tgt_vocab, PAD_ID)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("norm.weight"):  # inside cells, where it would amplify rounding
                parameter.mul_(scale)
    return model.eval()


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Two small parallel files in an otherwise empty folder."""
    words = {"猫": "cat", "狗": "dog", "鱼": "fish", "鸟": "bird"}
    pairs = [(a + b, f"{words[a]} {words[b]}") for a in words for b in words] * 4
    (tmp_path / "my.zh").write_text("".join(f"{src}\n" for src, _ in pairs), encoding="utf-8")
    (tmp_path / "my.en").write_text("".join(f"{tgt}\n" for _, tgt in pairs), encoding="utf-8")
    return tmp_path


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first, so that several processes end together."""
    items.sort(key=lambda item: not item.path.name.startswith("test_cli"))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The suite fails if anything in it asked the network or unpickled something."""
    if not hasattr(session.config, "workerinput") and audit.found():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """The log of the audit goes with the process that made it."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(Path(os.environ[audit.LOG]).parent, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the fault suite tried, row by row, and what the audit found."""
    for line in audit.found() or ["audited: nothing asked the network, nothing was unpickled"]:
        terminalreporter.write_line(line)
    reports = [report for found in terminalreporter.stats.values() for report in found]
    for line in fault_tally.table([r for r in reports if isinstance(r, pytest.TestReport)]):
        terminalreporter.write_line(line)
