"""Whether several processes are about to train the same model on the same text."""

import hashlib

from s2s_cli.errors import ConfigError
from s2s_cli.training.fit import Fit
from s2s_cli.training.record import parse_record


def agree(fit: Fit) -> None:
    """Refuse to train what is not what the first process trains; take over its record.

    Raises:
        ConfigError: this process has read another recipe, other text, or another run folder.
    """
    own = _describe(fit)
    theirs = fit.ranks.from_first(lambda: own)
    for what, value in own.items():
        if theirs[what] != value:
            raise ConfigError(
                f"process {fit.ranks.rank}: its {what} is {value}, that of the first process "
                f"{theirs[what]}; start all with one command, and let every machine see the same "
                "text and the same run folder"
            )
    fit.record = parse_record(fit.ranks.from_first(fit.record._asdict))


def _describe(fit: Fit) -> dict[str, str]:
    """What has to be the same everywhere, in words."""
    card = fit.loaded.card
    vocabularies = fit.loaded.src.vocabulary, fit.loaded.tgt.vocabulary
    texts = [[*origin.values()] for origin in card.trained_on.values()]
    return {
        "recipe": _hash(
            fit.config.model_dump_json(exclude={"device"}),
            card.model_dump_json(exclude={"trained_on"}),
        ),
        "text": _hash(str(texts)),
        "vocabulary": _hash(*(vocabulary.to_tsv() for vocabulary in vocabularies)),
        "number of training pairs": f"{len(fit.material.train):,}",
        "last saved update": f"{fit.record.position.step:,}",
    }


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]
