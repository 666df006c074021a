import numpy as np
import torch

from s2s_cli.data.batch import collate, collate_src
from s2s_cli.text.vocabulary import BOS_ID, EOS_ID, PAD_ID


def test_targets_are_shifted_once() -> None:
    batch = collate([([4, 5], [6, 7, 8]), ([4], [9])])
    assert batch.src.tolist() == [[4, 5, EOS_ID], [4, EOS_ID, PAD_ID]]
    assert batch.src_lengths.tolist() == [3, 2]
    assert batch.tgt_in.tolist() == [[BOS_ID, 6, 7, 8], [BOS_ID, 9, PAD_ID, PAD_ID]]
    assert batch.tgt_out.tolist() == [[6, 7, 8, EOS_ID], [9, EOS_ID, PAD_ID, PAD_ID]]
    assert torch.equal(batch.tgt_in[0, 1:], batch.tgt_out[0, :-1])


def test_real_tokens_are_counted_and_masked() -> None:
    batch = collate([([4], [6, 7]), ([4], [])])
    assert batch.tgt_mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.num_tokens == 4 == int(batch.tgt_mask.sum())


def test_a_source_may_be_empty_but_for_eos() -> None:
    src, lengths = collate_src([[]])
    assert src.tolist() == [[EOS_ID]]
    assert lengths.tolist() == [1]


def test_arrays_make_the_same_batch_as_lists() -> None:
    pairs = [([4, 5], [6, 7, 8]), ([4], [9]), ([7, 8, 9], [5])]
    arrays = [(np.array(src, np.uint16), np.array(tgt, np.uint16)) for src, tgt in pairs]
    for one, other in zip(collate(pairs), collate(arrays), strict=True):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))
