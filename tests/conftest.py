"""Small worlds that several tests share."""

import os
from pathlib import Path

import pytest
import torch

from s2s_cli.config import Model
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.vocabulary import PAD_ID

# Tiny tensors gain nothing from threads, and lose much where cores are shared.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

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


KINDS = [
    {"cell": cell, "context": context, "num_layers": layers, "bidirectional": bidirectional}
    for cell in ("gru", "lstm")
    for context in ("initial", "attention")
    for layers, bidirectional in ((1, True), (2, False))
]


def describe_kind(kind: dict[str, object]) -> str:
    """A short name for a test's title."""
    return "-".join(map(str, kind.values()))


def make_model(
    kind: dict[str, object], src_vocab: int = 12, tgt_vocab: int = 10, scale: float = 5.0
) -> Seq2Seq:
    """A tiny model in evaluation mode; its weights are scaled up, so that its choices are firm."""
    torch.manual_seed(1)
    config = Model(embed_size=5, hidden_size=6, attention_size=4, dropout=0.3, **kind)
    model = Seq2Seq(config, src_vocab, tgt_vocab, PAD_ID)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model.eval()
