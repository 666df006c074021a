from pathlib import Path

import pytest
from pydantic import BaseModel

from s2s_cli.config import Config
from s2s_cli.errors import ConfigError
from s2s_cli.recipe import (
    check_config,
    dump_yaml,
    load_recipe,
    load_yaml,
    parse_override,
    recipes_folder,
    shipped_recipes,
)
from s2s_cli.sources import EmbeddedPhrasebook, ParallelFiles, TableFile
from s2s_cli.unused_settings import find_unused


def sections() -> list[type[BaseModel]]:
    inner = [field.annotation for field in Config.model_fields.values()]
    return [Config, ParallelFiles, TableFile, EmbeddedPhrasebook, *inner]  # type: ignore[list-item]


def test_every_key_is_explained() -> None:
    for section in sections():
        for key, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{key}"


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads_and_explains_each_key_on_its_line(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    for line in (recipes_folder() / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            _, _, comment = line.partition(" # ")
            assert len(comment) > 5, line


def test_seed_gru_has_the_tutorials_hyper_parameters() -> None:
    config = load_recipe("seed-gru").config
    model, training, vocab = config.model, config.training, config.vocab
    assert (model.cell, model.num_layers, model.context) == ("gru", 2, "initial")
    assert (model.embed_size, model.hidden_size, model.dropout) == (256, 512, 0.5)
    assert (training.batch_size, training.epochs, training.teacher_forcing) == (32, 10, 0.5)
    assert (vocab.max_size, vocab.min_freq) == (10_000, 2)


def test_yaml_is_read_by_the_core_schema_of_1_2() -> None:
    text = "a: no\nb: 1e-3\nc: true\nd: 010\ne: ~\nf: 1:30\ng: 0x1F\nh: .5\ni: 2026-11-21"
    assert load_yaml(text, "x") == {
        **{"a": "no", "b": 0.001, "c": True, "d": 10, "e": None, "f": "1:30"},
        **{"g": 31, "h": 0.5, "i": "2026-11-21"},
    }


def test_the_language_no_stays_a_string() -> None:
    assert check_config(load_yaml("data: {src_lang: no}", "x"), "x").data.src_lang == "no"


def test_a_configuration_survives_its_file(tmp_path: Path) -> None:
    config = load_recipe("seed-gru", [("training.seed", 7), ("data.valid", 0.1)]).config
    path = tmp_path / "again.yaml"
    path.write_text(dump_yaml(config), encoding="utf-8")
    assert load_recipe(str(path)).config == config


@pytest.mark.parametrize(("old", "new"), [(True, "output"), (False, "none"), ("cell", "cell")])
def test_older_recipes_name_layer_normalisation_by_true_and_false(old: object, new: str) -> None:
    assert check_config({"model": {"layer_norm": old}}, "x").model.layer_norm == new


def test_overrides_reach_any_key_and_the_last_wins() -> None:
    overrides = [parse_override(text) for text in ("training.seed=3", "training.seed=7")]
    assert load_recipe("quickstart", overrides).config.training.seed == 7
    files = load_recipe("quickstart", [("data.train", {"src": "a", "tgt": "b"})]).config.data.train
    assert files == ParallelFiles(src="a", tgt="b")


FILES = {"src": "a", "tgt": "b"}
TABLE = {"file": "c.tsv", "src": 1, "tgt": "en"}


def test_a_split_is_one_source_or_several_of_any_kind(tmp_path: Path) -> None:
    tree = {
        "train": [FILES, {**TABLE, "weight": 0.5}, {"phrasebook": "train"}],
        "valid": 0.1,
        "test": {"src": "a", "tgt": ["b", "c"]},
    }
    config = check_config({"data": tree}, "x")
    assert config.data.train == (
        ParallelFiles(src="a", tgt="b"),
        TableFile(file="c.tsv", src=1, tgt="en", weight=0.5),
        EmbeddedPhrasebook(phrasebook="train"),
    )
    assert config.data.test == ParallelFiles(src="a", tgt=("b", "c"))
    path = tmp_path / "again.yaml"
    path.write_text(dump_yaml(config), encoding="utf-8")
    assert load_recipe(str(path)).config == config


def test_overrides_reach_a_source_of_a_list_by_its_number() -> None:
    several = ("data.train", [FILES, TABLE])
    overrides = [several, ("data.train.0.src", "x"), ("data.train.1.rows", "2-")]
    train = load_recipe("quickstart", overrides).config.data.train
    table = TableFile(file="c.tsv", src=1, tgt="en", rows="2-")
    assert train == (ParallelFiles(src="x", tgt="b"), table)
    assert several == ("data.train", [FILES, TABLE])
    for key in ("data.train.src", "data.train.2.src", "data.train.-1.src"):
        with pytest.raises(ConfigError, match=r"its entries are data\.train\.0, data\.train\.1"):
            load_recipe("quickstart", [several, (key, "x")])


def test_a_source_of_one_kind_takes_the_place_of_another() -> None:
    book = load_recipe("quickstart", [("data.train", FILES), ("data.train.phrasebook", "test")])
    assert book.config.data.train == EmbeddedPhrasebook(phrasebook="test")
    keys = [("data.train.file", "c.tsv"), ("data.train.src", 1), ("data.train.tgt", "en")]
    with pytest.raises(ConfigError, match=r"options: data\.train\.src: field required"):
        load_recipe("quickstart", keys[:1])
    assert load_recipe("quickstart", keys).config.data.train == TableFile(**TABLE)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"model": {"cel": "gru"}}, "model.cel: no such key; did you mean 'cell'?"),
        ({"modle": {}}, "modle: no such key; did you mean 'model'?"),
        (
            {"model": {"cell": "gur"}},
            "model.cell: input should be 'rnn', 'gru' or 'lstm' (given: 'gur')",
        ),
        ({"training": {"device": "gpu"}}, "training.device"),
        ({"data": {"valid": 1.5}}, "data.valid: input should be less than 1"),
        ({"data": {"train": {"src": "a"}}}, "data.train.tgt: field required"),
        ({"data": {"train": {"src": "a", "tgtt": "b"}}}, "data.train.tgtt: no such key"),
        (
            {"data": {"train": "a.zh"}},
            "mapping of keys to values, such as `{src: FILE, tgt: FILE}`",
        ),
        (
            {"data": {"train": ["a.zh"]}},
            "data.train.0: should be a mapping of keys to values, such",
        ),
        ({"data": {"test": "a.zh"}}, "`{src: FILE, tgt: FILE}`, or a share of the training pairs"),
        ({"data": {"valid": "0.05"}}, "data.valid: a share of the training pairs is a number; wri"),
        ({"data": 3}, "data: should be a mapping of keys to values (given: 3)"),
        ({"data": {"train": {"phrasebook": "train", "scr": "a"}}}, "did you mean 'src'?"),
        ({"data": {"train": {"phrasebook": "train", "src": "a"}}}, "keep one of the two"),
        ({"data": {"train": []}}, "data.train: should have at least one entry"),
        ({"data": {"train": {"fil": "a"}}}, "data.train.fil: no such key; did you mean 'file'?"),
        ({"data": {"train": {**FILES, "rows": "1-"}}}, "belongs to a table"),
        ({"data": {"train": [FILES, {"src": "a"}]}}, "data.train.1.tgt: field required"),
        ({"data": {"train": {**TABLE, "src": 0}}}, "data.train.src: input should be greater than"),
        ({"data": {"train": {**TABLE, "tgt": [1, 0]}}}, "data.train.tgt.1: input should be"),
        (
            {"data": {"train": {**TABLE, "rows": "0-5"}}},
            "data.train.rows: does not have",
        ),
        ({"data": {"train": {**TABLE, "rows": "5-1"}}}, "rows 5-1 end before they start"),
        ({"data": {"train": {**TABLE, "format": "xls"}}}, "'tsv', 'csv' or 'jsonl'"),
        ({"data": {"train": {**TABLE, "haeder": True}}}, "did you mean 'header'?"),
        ({"data": {"train": {**FILES, "weight": 0}}}, "data.train.weight: input should be"),
        ({"data": {"valid": [{**FILES, "weight": 2}]}}, "valid has a weight"),
        ({"data": {"train": {"src": "a", "tgt": ["b", "c"]}}}, "several targets for one source"),
        ({"data": {"valid": True}}, "data.valid: input should be a valid number"),
        ({"decoding": {"n_best": 9}}, "requires a beam_size of at least 9"),
        (
            {"decoding": {"search": "mbr", "num_samples": 8, "n_best": 9}},
            "requires a num_samples of at least 9, not 8",
        ),
        ({"model": {"hidden_size": 7}}, "my.yaml: model: a bidirectional encoder requires an even"),
        ({"training": {"learning_rate": "fast"}}, "the step size of the optimizer"),
        (
            {"text": {"src_tokenizer": "none"}},
            "src_tokenizer none leaves sentences whole and requires",
        ),
        ({"text": {"subword_sampling": 0.1}}, "subword_sampling 0.1 requires src_subword or tgt"),
        (
            {"text": {"src_subword": "bpe", "tgt_subword_sampling": 0.1}},
            "tgt_subword_sampling 0.1 requires tgt_subword bpe or unigram",
        ),
        ({"text": {"src_subword": "wordpiece"}}, "text.src_subword: input should be 'none', 'bpe'"),
        (
            {"text": {"src_subword": "bpe"}, "vocab": {"shared": True}},
            "vocab.shared requires the same subwords on both sides, not text.src_subword bpe and",
        ),
    ],
)
def test_a_wrong_key_or_value_is_named(tree: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_config(tree, where="my.yaml")
    assert str(caught.value).startswith("my.yaml: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "the key 'a' is given twice"),
        ("a: [1", "not valid YAML"),
        ("a: !!python/object/apply:os.system [echo]", "not valid YAML"),
        ("? {a: 1}\n: 2", "not valid YAML"),
    ],
)
def test_bad_yaml_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_yaml(text, where="my.yaml")
    assert message in str(caught.value)


def test_an_unknown_recipe_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'quickstart'"):
        load_recipe("quickstrat")
    for text in ("epochs=3", "training.epochs", ".=1", "training..epochs=1"):
        with pytest.raises(ConfigError, match=r"section\.key=value"):
            parse_override(text)


def test_a_dictionary_belongs_to_a_call_and_not_to_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("decoding: {dictionary: words.tsv}", encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"my\.yaml: decoding\.dictionary: cannot be set in a recipe"
    ):
        load_recipe(str(path))
    assert (
        load_recipe(str(path), [("decoding.dictionary", None)]).config.decoding.dictionary is None
    )
    with pytest.raises(ConfigError, match=r"options: .* --dictionary FILE"):
        load_recipe("quickstart", [("decoding.dictionary", "words.tsv")])
    # Where a model is used, it is an option as any other.
    tree = {"decoding": {"dictionary": "words.tsv"}}
    assert check_config(tree, "options").decoding.dictionary == "words.tsv"


@pytest.mark.fault("F5")
@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            {"model": {"context": "initial", "attend": "after"}},
            "model.attend: has no effect with model.context initial",
        ),
        ({"training": {"decay_every": 2}}, "training.decay_every: has no effect with training.sch"),
        (
            {"data": {"src_lang": "de"}, "text": {"chinese": "simplified"}},
            "text.chinese: has no effect without a Chinese side",
        ),
        ({"decoding": {"top_k": 5}}, "decoding.top_k: has no effect with decoding.search beam"),
        ({"vocab": {"character_coverage": 0.99}}, "has no effect without subwords"),
        (
            {"model": {"word_dropout": 0.1, "src_word_dropout": 0.2, "tgt_word_dropout": 0.0}},
            "model.word_dropout: has no effect with model.src_word_dropout and",
        ),
        (
            {"training": {"consistency": "rdrop", "consistency_cut": 0.1}},
            "training.consistency_cut: has no effect with training.consistency rdrop",
        ),
        (
            {"training": {"consistency_weight": 2.0}},
            "training.consistency_weight: has no effect with training.consistency none",
        ),
        (
            {"training": {"teacher_forcing_steps": 7}},
            "training.teacher_forcing_steps: has no effect with training.teacher_forcing_schedule",
        ),
        (
            {"model": {"context": "initial", "attention_size": 8}},
            "model.attention_size: has no effect with model.context initial",
        ),
        (
            {"model": {"attention": "dot", "attention_size": 8}},
            "model.attention_size: has no effect with model.attention dot",
        ),
        ({"model": {"residual": True}}, "model.residual: has no effect with one layer on each"),
        (
            {"training": {"average_of": "last"}},
            "training.average_of: has no effect with training.average 1",
        ),
        (
            {"decoding": {"search": "sample", "beam_size": 8}},
            "decoding.beam_size: has no effect with decoding.search sample",
        ),
        (
            {"decoding": {"search": "mbr", "length_penalty": 0.5}},
            "decoding.length_penalty: has no effect with decoding.search mbr",
        ),
        (
            {"decoding": {"search": "sample", "num_samples": 8}},
            "decoding.num_samples: has no effect with decoding.search sample",
        ),
        (
            {"decoding": {"utility": "bleu"}},
            "decoding.utility: has no effect with decoding.search beam",
        ),
        (
            {"vocab": {"min_freq": 1}, "text": {"src_subword": "bpe", "tgt_subword": "bpe"}},
            "vocab.min_freq: has no effect with subwords on both sides",
        ),
        (
            {"data": {"directions": ["zh-en", "en-zh"], "tgt_lang": "de"}},
            "data.tgt_lang: has no effect with data.directions",
        ),
    ],
)
def test_keys_that_have_no_effect_are_named(tree: dict[str, object], message: str) -> None:
    (unused,) = find_unused(check_config(tree, "my.yaml"))
    assert message in unused.describe()


@pytest.mark.parametrize("name", shipped_recipes())
def test_no_shipped_recipe_sets_a_key_that_does_nothing(name: str) -> None:
    assert not find_unused(load_recipe(name).config)


def test_a_recipe_with_text_of_its_own_never_validates_on_the_phrasebook(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("data: {train: {src: a.zh, tgt: a.en}}\n")
    recipe = load_recipe(str(tmp_path / "mine.yaml"))
    assert (recipe.config.data.valid, recipe.config.data.test) == (0.05, None)
    assert recipe.assumed == ("no data.valid: 5% of the training pairs are held out for it",)
    (tmp_path / "mine.yaml").write_text(
        "data: {train: {src: a.zh, tgt: a.en}, valid: {src: v.zh, tgt: v.en}, test: 0.1}\n"
    )
    recipe = load_recipe(str(tmp_path / "mine.yaml"))
    assert recipe.config.data.test == 0.1
    assert recipe.assumed == ()
    assert load_recipe("quickstart").config.data.valid == EmbeddedPhrasebook(phrasebook="valid")
    own = ("data.train", {"src": "a.zh", "tgt": "a.en"})
    recipe = load_recipe("quickstart", [own])
    assert (recipe.config.data.valid, recipe.config.data.test) == (0.05, None)
    assert recipe.assumed == ("no data.valid: 5% of the training pairs are held out for it",)
    asked = {"phrasebook": "valid"}
    recipe = load_recipe("quickstart", [own, ("data.valid", asked)])
    assert recipe.config.data.valid == EmbeddedPhrasebook(phrasebook="valid")
