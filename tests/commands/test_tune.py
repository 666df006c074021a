import json
import re
from pathlib import Path

import pytest
from toys import error_of, output_of, s2s, save_toy

from s2s_cli.config import Data
from s2s_cli.data.test_set import load_valid
from s2s_cli.sources import ParallelFiles

LINE = r"--set decoding\.beam_size=(\d+) --set decoding\.length_penalty=([\d.]+)\n"


def write_text(folder: Path, num_pairs: int = 200) -> dict[str, str]:
    """Write parallel files; return their names as the source `toy-p` of a recipe."""
    folder = folder / "toy"
    folder.mkdir(parents=True)
    for name, letters in (("p.de", "stuvwxyz"), ("p.en", "abcdef")):
        lines = [
            " ".join(letters[n // k % len(letters)] for k in (1, 3, 7, 11, 25))
            for n in range(num_pairs)
        ]
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return {"src": str(folder / "p.de"), "tgt": str(folder / "p.en")}


def make_run(folder: Path, files: dict[str, str], **training: object) -> Path:
    """A run folder with a toy model whose recipe validates on files, and tests on none."""
    save_toy(folder / "run" / "model")
    data = {"src_lang": "de", "tgt_lang": "en", "train": files, "valid": files, "test": None}
    recipe = json.dumps({"data": data, "training": training})
    (folder / "run" / "config.yaml").write_text(recipe)
    return folder / "run"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_best_settings_reach_the_score_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = write_text(tmp_path)
    run = make_run(tmp_path, files)
    before = content(tmp_path)
    done = s2s("eval", "--tune", "--run", run)
    assert content(tmp_path) == before
    assert re.fullmatch(LINE, done.stdout)
    assert "BLEU on toy-p (200 pairs)" in done.stderr
    for size in (1, 2, 3, 4, 5, 8, 12):  # 3 is the model's own
        assert re.search(rf"^│ {size} ", done.stderr, flags=re.MULTILINE)
    found = re.search(r"the best: ([\d.]+), with the present setting: ([\d.]+)", done.stderr)
    assert found is not None
    ask = ["eval", "--bleu", "--run", run, "--test-src", files["src"], "--test-tgt", files["tgt"]]
    for sets, shown in ((done.stdout.split(), found[1]), ([], found[2])):
        score = json.loads(output_of(*ask, *sets, "--report", tmp_path / "report"))
        assert f"{score['bleu']['score']:.2f}" == shown


def test_the_present_settings_are_among_those_tried(tmp_path: Path) -> None:
    run = make_run(tmp_path, write_text(tmp_path))
    shown = s2s("eval", "--tune", "--run", run, "--beam-size", 7, "--length-penalty", 0.3).stderr
    (row,) = re.findall(r"^│ 7 .*", shown, flags=re.MULTILINE)
    assert row.split("│")[3].strip().startswith("(")  # columns: beam size, 0, 0.3
    assert re.search(r"┃ +0 ┃ +0\.3 ┃ +0\.4 ┃", shown)


def test_the_recipe_of_the_run_names_the_validation_set(tmp_path: Path) -> None:
    run = make_run(tmp_path, write_text(tmp_path))
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps({"data": {"src_lang": "de", "tgt_lang": "en"}}))
    done = s2s("eval", "--tune", "-m", run, "--config", other)
    assert f"validation set of {run / 'config.yaml'}: toy-p\n" in done.stderr


def test_a_model_outside_a_run_needs_a_recipe(tmp_path: Path) -> None:
    toy = save_toy(tmp_path / "model")
    assert "name its recipe with --config" in error_of("eval", "--tune", "-m", toy)
    run = make_run(tmp_path, write_text(tmp_path))
    ask = ("eval", "--tune", "-m", toy, "--config", run / "config.yaml")
    assert re.fullmatch(LINE, output_of(*ask))


@pytest.fixture
def held_out(tmp_path: Path) -> list[object]:
    """Tuning of a toy model whose validation and test pairs were held out from its text."""
    files = write_text(tmp_path)
    data = Data(train=ParallelFiles(**files), valid=0.1, test=0.2)
    _, hashes = load_valid(data)
    assert hashes.keys() == {"train", "valid", "test"}
    trained_on = {
        name: {f"toy-p#{name}": digest for digest in hashes[name]} for name in ("train", "valid")
    }
    toy = save_toy(tmp_path / "model", trained_on=trained_on)
    recipe = tmp_path / "my.yaml"
    recipe.write_text(json.dumps({"data": {"src_lang": "de", "tgt_lang": "en", "train": files}}))
    return ["eval", "--tune", "--bleu", "-m", toy, "-c", recipe]


def test_a_share_held_out_from_the_training_pairs_is_found_again(held_out: list[object]) -> None:
    # The table refuses `--set data.test`, so the recipe has both shares.
    recipe = Path(str(held_out[-1]))
    tree = json.loads(recipe.read_text())
    tree["data"] |= {"valid": 0.1, "test": 0.2}
    recipe.write_text(json.dumps(tree))
    done = s2s(*held_out)
    assert "BLEU on toy-p-valid (20 pairs)" in done.stderr
    for other in ("data.split_seed=2", "data.valid=0.2"):
        message = error_of(*held_out, "--set", other)
        assert "was trained with another split of the training pairs" in message
        assert "data.valid: " in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ter"], "--ter: has no effect with --tune"),
        (["--tokenized"], "--tokenized: has no effect with --tune"),
        (["--accuracy"], "--accuracy: has no effect with --tune"),
        (["--report", "here"], "--report: has no effect with --tune"),
        (["--test-src", "a", "--test-tgt", "b"], "--test-src, --test-tgt: have no effect with"),
        (["--set", "data.test=0.1"], "--set data.test: has no effect with --tune"),
        (["--score-pairs"], "--tune: has no effect with --score-pairs"),
        (["--hyp", "a", "--ref", "b"], "--model, --tune: have no effect with --hyp and --ref"),
        (["--set", "decoding.search=sample"], "--tune: has no effect with decoding.search sample"),
        (["--bleu", "--chrf"], "--bleu, --chrf: --tune compares searches by one score; name one"),
    ],
    ids=str,
)
def test_options_that_do_not_go_with_tuning_are_refused(
    tmp_path: Path, options: list[str], message: str
) -> None:
    run = make_run(tmp_path, write_text(tmp_path))
    assert message in error_of("eval", "--tune", "-m", run, *options)


def test_few_references_are_compared_by_chrf(tmp_path: Path) -> None:
    run = make_run(tmp_path, write_text(tmp_path, num_pairs=30))
    done = s2s("eval", "--tune", "--run", run)
    assert (
        "BLEU says little: fewer than 100 sentences; searches are compared by chrF" in done.stderr
    )
    assert "chrF on toy-p (30 pairs)" in done.stderr
    assert "BLEU on toy-p (30 pairs)" in s2s("eval", "--tune", "--bleu", "--run", run).stderr


def test_labels_are_compared_by_accuracy(tmp_path: Path) -> None:
    files = write_text(tmp_path)
    Path(files["tgt"]).write_text("".join(f"{'abc'[n % 3]}\n" for n in range(200)))
    done = s2s("eval", "--tune", "--run", make_run(tmp_path, files))
    assert "accuracy on toy-p (200 pairs)" in done.stderr


@pytest.mark.parametrize(("best_by", "title"), [("chrf", "chrF on"), ("perplexity", "BLEU on")])
def test_the_score_is_that_of_the_training_if_searches_change_it(
    tmp_path: Path, best_by: str, title: str
) -> None:
    run = make_run(tmp_path, write_text(tmp_path), best_by=best_by)
    assert f"{title} toy-p (200 pairs)" in s2s("eval", "--tune", "--run", run).stderr
