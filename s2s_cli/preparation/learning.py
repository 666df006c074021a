"""From the words of the training text to its vocabularies."""

from s2s_cli.config import Config
from s2s_cli.data.tokenized import TokenCounts
from s2s_cli.preparation.preparation import Preparation
from s2s_cli.preparation.subwords import Say, learn_subwords
from s2s_cli.run import Vocabularies
from s2s_cli.vocabularies import build_vocabularies


def learn_vocabularies(
    config: Config, preparation: Preparation, say: Say
) -> tuple[Vocabularies, TokenCounts]:
    """Subwords where the recipe asks for them, vocabularies, and the tokens that they came from.

    Raises:
        ConfigError: nothing would be known, or the characters leave no room for subwords.
        DataError: the text is malformed, or a source is empty.
    """
    words = preparation.words()
    subwords = learn_subwords(config, words, say)
    counts = preparation.cut_words(subwords).count(words)
    trained_on = preparation.facts().origin.values()
    vocabularies = build_vocabularies(config, counts, subwords, trained_on, preparation.name)
    return vocabularies, counts
