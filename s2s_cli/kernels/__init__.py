"""Hand-written forward and backward passes: functions of tensors, below the model."""
