"""What changes in the course of a training: learning rate and teacher forcing.

Pure functions of how far a run is, so that nothing needs to be saved to go on.
"""

import math

from s2s_cli.config import Training


def learning_rate(config: Training, epoch: int, step: int, num_decays: int) -> float:
    """The learning rate of an update.

    Args:
        config: names the schedule.
        epoch: from 0.
        step: updates done before this one.
        num_decays: how often a plateau was met so far.
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    match config.schedule:
        case "constant":
            factor = 1.0
        case "exponential":
            factor = config.learning_rate_decay ** max(0, epoch + 1 - config.decay_after)
        case "step":
            factor = config.learning_rate_decay ** (epoch // config.decay_every)
        case "plateau":
            factor = config.learning_rate_decay**num_decays
        case "inverse_sqrt":  # Vaswani et al. 2017, with its height as the learning rate
            factor = math.sqrt(config.warmup_steps / max(step + 1, config.warmup_steps))
    return config.peak_learning_rate * warmup * factor


def teacher_forcing(config: Training, step: int) -> float:
    """Chance of feeding the reference in an update (Bengio et al. 2015, section 2.4).

    Args:
        config: names the schedule.
        step: updates done before this one.
    """
    start, end, k = config.teacher_forcing, config.teacher_forcing_min, config.teacher_forcing_steps
    match config.teacher_forcing_schedule:
        case "constant":
            return start
        case "linear":
            chance = start - (start - end) * step / k
        case "exponential":
            chance = start * math.exp(-step / k)
        case "inverse_sigmoid":
            # k / (k + exp(i / k)), as 1 / (1 + exp(i / k - log k)) so that exp stays a float.
            chance = start / (1 + math.exp(min(step / k - math.log(k), 700.0)))
    return max(end, chance)
