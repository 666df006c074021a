"""Warnings of validation and test pairs that also stand in train."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from s2s_cli.errors import DataError

if TYPE_CHECKING:
    from s2s_cli.checkpoint import ModelCard
    from s2s_cli.commands.loading import ModelPlace
    from s2s_cli.config import Data
    from s2s_cli.data.corpus import Corpus
    from s2s_cli.data.fingerprints import Fingerprints


def warn_of_leakage(name: str, corpora: "Sequence[Corpus]", train: "Fingerprints") -> None:
    """Warn if source sentences of a split stand in train, with their number."""
    from s2s_cli.checks.leakage import find_corpus_leakage
    from s2s_cli.console import warn

    found = find_corpus_leakage(corpora, train)
    if found.num_sources:
        warn(
            f"{name}: {found.num_sources:,} of {found.num_pairs:,} source sentences also stand in "
            f"train, {found.num_whole:,} of them with the same translation, which makes scores "
            "look better than they are; take them out of train"
        )


def read_tests(data: "Data") -> "list[Corpus]":
    """The test set, unless it is held out of train; warns if it cannot be read."""
    from s2s_cli.console import warn
    from s2s_cli.data.splits import load_test

    if data.test is None or isinstance(data.test, float):
        return []  # no sentence of a share that is held out is in train
    try:
        return load_test(data)
    except DataError as error:
        warn(f"test was not compared with train: {error}")
        return []


def warn_of_tests_in_train(
    place: "ModelPlace", card: "ModelCard", tests: "Sequence[Corpus]"
) -> None:
    """Warn of a model's test sets likewise, if its run has the pairs that it was trained on."""
    train = _read_fingerprints(place, card)
    if train is not None:
        for test in tests:
            warn_of_leakage(f"test set {test.name}", [test], train)


def _read_fingerprints(place: "ModelPlace", card: "ModelCard") -> "Fingerprints | None":
    """Those of the pairs that a model was trained on; None if the run does not have them."""
    from s2s_cli.data.encoded_corpus import HASHES, read_fingerprints
    from s2s_cli.data.manifest import find_damage, read_manifest

    if place.run is None:
        return None
    manifest = read_manifest(place.run.data_path)
    if isinstance(manifest, str) or find_damage(place.run.data_path, manifest, {*HASHES.values()}):
        return None
    digests = {digest for source in manifest.sources for digest in source.digests}
    if digests != {*card.trained_on.get("train", {}).values()}:
        return None
    return read_fingerprints(place.run.data_path)
