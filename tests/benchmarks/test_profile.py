from collections import Counter

from benchmarks.profile import REST, format_table, profile_updates, purpose_of
from s2s_cli.config import Training


def test_operations_are_told_by_their_names() -> None:
    assert purpose_of("aten::addmm") == "matrix products"
    assert purpose_of("aten::add_") == "sums"
    assert purpose_of("aten::_log_softmax_backward_data") == "softmax and loss"
    assert purpose_of("aten::_fused_adam_") == "optimizer"
    assert purpose_of("ProfilerStep*") == REST


def test_the_time_of_an_update_is_told_by_its_purpose() -> None:
    spent = profile_updates(Training(), batch_size=4, hidden=16, updates=1)
    assert spent["matrix products"] > 0
    page = format_table({"plain": Counter({"sums": 3.0, REST: 1.0}), "fused": spent}, 2)
    assert "| sums | 3.0 (75%) |" in page
    assert "| total | 4.0 |" in page
