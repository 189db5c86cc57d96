"""The optimisers of trainings."""

from functools import cache

import optax


def adam(
    learning_rate: float, n_steps: int, schedule: str = "constant", b1: float = 0.9
) -> optax.GradientTransformation:
    """Adam at a constant rate (the texts'), or 'cosine': a short warm-up, then a cosine towards zero."""
    return optax.adam(rate(learning_rate, n_steps, schedule), b1=b1)


def rate(learning_rate: float, n_steps: int, schedule: str) -> float | optax.Schedule:
    """The learning rate, by the step where it is not constant."""
    if schedule == "constant":
        return learning_rate
    warm_up = max(1, n_steps // 20)
    return optax.warmup_cosine_decay_schedule(learning_rate / 10, learning_rate, warm_up, max(n_steps, warm_up + 1))


@cache
def damped_adam(learning_rate: float, n_steps: int = 0, schedule: str = "constant") -> optax.GradientTransformation:
    """The same with the epsilon of Boubekki et al. 2021 (their code): small gradients stay small."""
    return optax.adam(rate(learning_rate, n_steps, schedule), eps=1e-3)
