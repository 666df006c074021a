from pathlib import Path

import pytest
import yaml

from benchmarks.environments import JOEYNMT, PEERS
from benchmarks.results import Key
from benchmarks.session import plan
from benchmarks.systems import catalogue
from benchmarks.systems.catalogue import SYSTEMS, choose, environment_of
from benchmarks.systems.tool import Training, Translation
from benchmarks.work import FIGURES, QUICK, SIZES, Work, find_vocabulary, fit_scale, prepare_work
from s2s_cli.errors import DataError
from s2s_cli.recipe import load_recipe

OURS = ["s2s", "s2s-bf16", "s2s-int8", "s2s-plain"]
TOOLS = list({system.tool.name: system.tool for system in SYSTEMS}.values())


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return prepare_work(None, tmp_path_factory.mktemp("work"), QUICK)


def test_without_data_the_work_is_the_phrasebook_lower_cased(work: Work) -> None:
    assert work.text_name == "phrasebook"
    for split, count in (("train", QUICK.pairs), ("test", QUICK.lines), ("one", 1)):
        for side in ("src", "tgt"):
            text = work.text(split, side).read_text(encoding="utf-8")
            assert text.count("\n") == count
            assert text == text.lower()
    words = work.vocabulary("tgt").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(words) == work.vocab_sizes[1]
    assert work.text("one", "src").read_text() in work.text("test", "src").read_text()
    text = work.text("train", "tgt").read_text(encoding="utf-8")
    assert work.num_tokens[1] == len(text.split()) + text.count("\n")


def test_the_same_work_lies_in_the_same_place(work: Work) -> None:
    again = prepare_work(None, work.folder.parent, QUICK._replace(repetitions=9))
    assert (again.folder, again.digest) == (work.folder, work.digest)
    assert prepare_work(None, work.folder.parent, QUICK._replace(lines=7)).digest != work.digest


def test_a_vocabulary_has_what_is_seen_twice_the_most_frequent_first() -> None:
    assert find_vocabulary([["b", "a", "c"], ["a", "d"], ["b", "a", "d"]]) == ["a", "b", "d"]


def test_training_is_timed_within_an_epoch() -> None:
    assert fit_scale(FIGURES, 454, 1000) == FIGURES
    assert fit_scale(FIGURES, 157, 500)[:2] == (50, 150)
    assert fit_scale(FIGURES, 157, 500).lines == 500
    # Large batches make few updates: the clock starts sooner.
    assert fit_scale(FIGURES, 99, 1000)[:2] == (33, 99)
    assert fit_scale(FIGURES, 15, 1000)[:2] == (5, 15)
    with pytest.raises(DataError, match="5 updates an epoch; at least 6"):
        fit_scale(FIGURES, 5, 1000)


def test_systems_take_turns(work: Work) -> None:
    systems = choose([], list(PEERS))
    keys = list(plan(systems, work._replace(scale=QUICK._replace(repetitions=2, help_runs=2))))
    trained = [(key.repetition, key.system) for key in keys if key.kind == "train"]
    on_cpu = [system for system in SYSTEMS if "cpu" in system.devices]
    training = [system.name for system in on_cpu if system.train_options is not None]
    assert trained == [(turn, name) for turn in (0, 1) for name in training]
    assert "s2s-int8" not in training
    translating = [system.name for system in on_cpu if system.translate_options is not None]
    first = [key.system for key in keys if key[2:] == (0, "greedy", "all")]
    assert first == translating
    assert len(set(keys)) == len(keys)
    last_model = max(n for n, key in enumerate(keys) if key.kind == "model")
    assert last_model < keys.index(Key("translate", "s2s", 0, "greedy", "all"))


def test_without_peers_s2s_is_measured_against_its_plain_path() -> None:
    assert [system.name for system in choose([], [])] == OURS
    assert [system.name for system in choose(["s2s-plain", "eole"], [])] == ["s2s-plain"]
    names = [system.name for system in choose([], [JOEYNMT])]
    assert names == [*OURS, "joeynmt", "joeynmt-onednn"]
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)


def test_on_a_gpu_everything_is_told_to_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    sizes = SIZES._replace(batch=32)
    work = prepare_work(None, tmp_path, QUICK, sizes, "cuda")
    on_cpu = prepare_work(None, tmp_path, QUICK, sizes)
    assert work.digest != on_cpu.digest
    (tmp_path / "model_step_20.pt").touch()
    names = {system.name for system in choose([], list(PEERS), "cuda")}
    assert {"s2s-tf32", "joeynmt-tf32"} <= names
    assert not {"s2s-int8", "eole-onednn"} & names
    signs = {
        "s2s": ("device: cuda\n", "--device cuda"),
        "joeynmt": ("use_cuda: true\n", "use_cuda: true\n"),
        "opennmt": ("gpu_ranks:\n- 0\n", "-gpu 0 "),
        "eole": ("gpu_ranks:\n  - 0\n", "-gpu_ranks 0 "),
    }
    for tool in TOOLS:
        for where in (work, on_cpu):
            trained = tool.train(Training(where, tmp_path, 20))
            asked = Translation(where, tmp_path, where.text("one", "src"), tmp_path / "out", 5)
            translated = tool.translate(asked)
            in_recipe, in_command = signs[tool.name]
            said = " ".join([*translated.arguments, *translated.files.values()])
            assert (in_recipe in "".join(trained.files.values())) == where.is_on_gpu
            assert (in_command in said) == where.is_on_gpu
    assert environment_of(SYSTEMS[0], "cuda")["CUDA_VISIBLE_DEVICES"] == "3"
    assert environment_of(SYSTEMS[0])["CUDA_VISIBLE_DEVICES"] == ""


def test_only_the_switch_is_on_a_peers_python_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "ours")
    monkeypatch.setattr(catalogue, "BENCH", tmp_path)
    by_name = {system.name: environment_of(system) for system in SYSTEMS}
    assert by_name["s2s"]["PYTHONPATH"] == "ours"
    assert "PYTHONPATH" not in by_name["joeynmt"]
    (folder,) = {by_name[f"{peer.name}-onednn"]["PYTHONPATH"] for peer in PEERS}
    line = 'torch.set_float32_matmul_precision("medium")'
    assert line in (Path(folder) / "sitecustomize.py").read_text()


def test_every_tool_is_told_the_same_work(work: Work, tmp_path: Path) -> None:
    for tool in TOOLS:
        command = tool.train(Training(work, tmp_path, 20, ("--more",)))
        assert command.arguments[-1] == "--more"
        (text,) = command.files.values()
        assert yaml.safe_load(text)
        assert str(work.folder) in text
        for value in ("256", "0.3", "0.001", "64"):
            assert f": {value}\n" in text or f"- {value}\n" in text, (tool.name, value)


def test_s2s_reads_its_recipe_and_trains_for_whole_epochs(work: Work, tmp_path: Path) -> None:
    training = Training(work, tmp_path, 21)
    ((path, text),) = SYSTEMS[0].tool.train(training).files.items()
    path.write_text(text)
    config = load_recipe(str(path)).config
    assert (config.training.epochs, config.training.log_every) == (2, work.scale.first)
    assert config.model.hidden_size == work.sizes.hidden


def test_beam_and_options_reach_every_translation(work: Work, tmp_path: Path) -> None:
    (tmp_path / "model_step_20.pt").touch()
    source = work.text("test", "src")
    for tool in TOOLS:
        asked = Translation(work, tmp_path, source, tmp_path / "out", 5, ("--more",))
        command = tool.translate(asked)
        assert command.arguments[-1] == "--more"
        said = " ".join([*command.arguments, *command.files.values()])
        assert "beam_size 5" in said or "beam-size 5" in said or "beam_size: 5" in said
        assert command.stdin == source or str(source) in said
        assert command.stdout == tmp_path / "out" or str(tmp_path / "out") in said


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peers_versions_are_pinned(peer: catalogue.Peer) -> None:
    lines = peer.constraints.read_text(encoding="utf-8").split("\n")[1:-1]
    assert "torch==2.13.0" in lines
    assert all(line.count("==") == 1 for line in lines)
