from pathlib import Path

import pytest
import torch
from conftest import make_config

from s2s_cli.checkpoint import LoadedModel, ModelCard, build_model, make_codecs, save_model
from s2s_cli.config import Config, Decoding, Text, Training
from s2s_cli.errors import ConfigError
from s2s_cli.recipe import check_config
from s2s_cli.text.vocabulary import Vocabulary
from s2s_cli.training.initialize import (
    adopt_vocabularies,
    check_fits,
    copy_weights,
    load_pretrained,
    load_vectors,
)

TEXT = Text(src_tokenizer="jieba", tgt_tokenizer="moses")
SRC, TGT = Vocabulary(["猫", "狗"], [2, 1]), Vocabulary(["cat", "dog", "emu"], [3, 2, 1])


@pytest.fixture
def former(tmp_path: Path) -> Path:
    torch.manual_seed(7)
    card = ModelCard(
        s2s_version="0",
        src_lang="zh",
        tgt_lang="en",
        text=TEXT,
        model=make_config({}),
        decoding=Decoding(),
        trained_on={"train": {"old": "1"}},
        epoch=3,
        step=9,
        valid_scores={},
    )
    model = build_model(card.model, SRC, TGT)
    folder = tmp_path / "run" / "model"
    save_model(folder, LoadedModel(model, *make_codecs(TEXT, "zh", "en", SRC, TGT), card))
    return folder


def recipe(former: Path, **sections: object) -> Config:
    model = {"embed_size": 5, "hidden_size": 6, "attention_size": 4, "dropout": 0.3}
    tree = {"model": model, "training": {"init_from": str(former)}}
    for name, keys in sections.items():
        tree[name] = {**tree.get(name, {}), **keys}
    return check_config(tree, "test")


def test_weights_and_vocabularies_are_those_of_the_model(former: Path) -> None:
    config = recipe(former)
    loaded = load_pretrained(str(config.training.init_from))
    vocabularies = adopt_vocabularies(config, loaded)
    assert (vocabularies.src, vocabularies.tgt) == (SRC, TGT)
    assert vocabularies.card.trained_on == ["1"]
    # The card describes the actual vocabularies, not those that the recipe would build.
    assert (vocabularies.card.max_size, vocabularies.card.shared) == (7, False)
    model = build_model(config.model, SRC, TGT)
    assert copy_weights(model, config, vocabularies, loaded) == []
    for name, tensor in loaded.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_a_run_folder_is_accepted(former: Path) -> None:
    assert load_pretrained(str(former.parent)).card.epoch == 3


def test_settings_that_do_not_affect_the_weights_may_differ_and_are_reported(former: Path) -> None:
    config = recipe(former, model={"dropout": 0.5, "variational": True})
    loaded = load_pretrained(str(config.training.init_from))
    vocabularies = adopt_vocabularies(config, loaded)
    found = copy_weights(build_model(config.model, SRC, TGT), config, vocabularies, loaded)
    assert found == ["model.dropout 0.3 -> 0.5", "model.variational False -> True"]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"model": {"cell": "lstm"}},
            r"its model\.cell is gru \(here lstm\).*--set model\.cell=gru",
        ),
        (
            {"text": {"lowercase": True}},
            r"its text\.lowercase is False .*--set text\.lowercase=false",
        ),
        ({"text": {"src_tokenizer": "char"}}, "text.src_tokenizer is jieba"),
        (
            {"data": {"directions": ["zh-en", "zh-de"]}},
            r"data\.directions is \[zh-en\] \(here \[zh-en, zh-de\]\)",
        ),
    ],
)
def test_settings_that_do_not_match_are_refused(
    former: Path, sections: dict[str, object], message: str
) -> None:
    config = recipe(former, **sections)
    loaded = load_pretrained(str(config.training.init_from))
    with pytest.raises(ConfigError, match=message):
        copy_weights(
            build_model(config.model, SRC, TGT),
            config,
            adopt_vocabularies(config, loaded),
            loaded,
        )


def test_other_languages_are_reported(former: Path) -> None:
    text = {"src_tokenizer": "jieba", "tgt_tokenizer": "moses"}
    config = recipe(former, data={"src_lang": "de", "tgt_lang": "fr"}, text=text)
    loaded = load_pretrained(str(config.training.init_from))
    vocabularies = adopt_vocabularies(config, loaded)
    assert (vocabularies.card.src_lang, vocabularies.card.tgt_lang) == ("de", "fr")
    found = copy_weights(build_model(config.model, SRC, TGT), config, vocabularies, loaded)
    assert found == ["languages zh-en -> de-fr"]


def test_all_differences_are_reported_at_once(former: Path) -> None:
    config = recipe(former, model={"cell": "lstm", "num_layers": 2}, text={"lowercase": True})
    with pytest.raises(ConfigError) as caught:
        check_fits(config, load_pretrained(str(former)))
    for option in ("text.lowercase=false", "model.cell=gru", "model.num_layers=1"):
        assert f"--set {option}" in str(caught.value)


def test_another_vocabulary_is_refused(former: Path) -> None:
    config = recipe(former)
    loaded = load_pretrained(str(config.training.init_from))
    mine = adopt_vocabularies(config, loaded)._replace(src=Vocabulary(["猫", "鸟"], [2, 1]))
    with pytest.raises(ConfigError, match="its source vocabulary differs from that of the run"):
        copy_weights(build_model(config.model, SRC, TGT), config, mine, loaded)


def test_vectors_are_read_from_the_data_folder(former: Path, tmp_path: Path) -> None:
    (tmp_path / "en.vec").write_text("cat 1 2 3 4 5\n", encoding="utf-8")
    config = recipe(former, model={"tgt_vectors": "en.vec"}, data={"folder": str(tmp_path)})
    model = build_model(config.model, SRC, TGT)
    vocabularies = adopt_vocabularies(config, load_pretrained(str(config.training.init_from)))
    ((key, coverage),) = load_vectors(model, config, vocabularies)
    assert (key, coverage.num_found, coverage.share) == ("model.tgt_vectors", 1, 0.5)
    assert model.tgt_table[4].tolist() == [1, 2, 3, 4, 5]


def test_training_starts_from_random_weights_by_default() -> None:
    assert Training().init_from is None
