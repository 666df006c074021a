"""Hand-written forward and backward passes: tensors only."""
