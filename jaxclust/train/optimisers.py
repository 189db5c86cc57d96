"""The optimisers of trainings."""

from functools import cache

import optax


def adam(
    learning_rate: float, n_steps: int, schedule: str = "constant", b1: float = 0.9
) -> optax.GradientTransformation:
    """Adam at a constant rate (the texts'), or 'cosine': a short warm-up, then a cosine towards zero."""
    if schedule == "constant":
        return optax.adam(learning_rate, b1=b1)
    warm_up = max(1, n_steps // 20)
    rate = optax.warmup_cosine_decay_schedule(learning_rate / 10, learning_rate, warm_up, max(n_steps, warm_up + 1))
    return optax.adam(rate, b1=b1)


@cache
def damped_adam(learning_rate: float) -> optax.GradientTransformation:
    """Adam at a constant rate with the epsilon of Boubekki et al. 2021 (their code): small gradients stay small."""
    return optax.adam(learning_rate, eps=1e-3)
