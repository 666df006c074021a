"""Saved settings are compared with present ones, whatever holds them."""

from s2s_cli.config import Config, Model, Sizes
from s2s_cli.differences import Change, describe, diff


def test_equal_settings_have_no_changes_whatever_holds_them() -> None:
    assert diff(Config(), Config()) == []
    assert diff(Model(), Model().model_dump(mode="json")) == []
    assert diff({"model": Model()}, {"model": Model().model_dump(mode="json")}) == []


def test_nested_keys_are_joined_by_dots_and_keep_their_order() -> None:
    old = {"model": Model(), "versions": {"moses": 1}}
    new = {"versions": {"moses": 2}, "model": Model(encoder=Sizes(embed_size=8), cell="lstm")}
    assert diff(old, new) == [
        Change("model.cell", "gru", "lstm"),
        Change("model.encoder.embed_size", None, 8),
        Change("versions.moses", 1, 2),
    ]


def test_a_setting_that_one_side_lacks_counts_as_none() -> None:
    assert diff({"a": None, "b": 1}, {"c": 2}) == [Change("b", 1, None), Change("c", None, 2)]


def test_settings_that_may_differ_are_not_compared_alone_or_by_their_group() -> None:
    old = {"a": {"b": 1, "c": 1}, "ab": 1, "d": {"e": {"f": 1}}}
    new = {"a": {"b": 2, "c": 2}, "ab": 2, "d": {"e": {"f": 2}}}
    assert [change.key for change in diff(old, new, {"a.b", "d"})] == ["a.c", "ab"]
    assert [change.key for change in diff(old, new, ["a", "d.e"])] == ["ab"]


def test_changes_are_described_by_their_values_unless_these_are_long() -> None:
    changes = [Change("model.cell", "gru", "lstm"), Change("text", "a" * 50, "b" * 50)]
    assert describe(changes) == "model.cell gru -> lstm, text"
