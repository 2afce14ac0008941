"""Optimisers and learning-rate schedules by name, all of them optax's."""

import optax

from jaxvae._checks import expect_choice, expect_in_range, expect_positive

OPTIMIZERS = {
    "adam": optax.adam,
    "adamw": optax.adamw,
    "adamax": optax.adamax,
    "rmsprop": optax.rmsprop,
}
SCHEDULES = ("constant", "cosine", "step")


def make_schedule(
    name: str,
    learning_rate: float,
    *,
    num_steps: int,
    warmup_steps: int = 0,
    decay_every: int | None = None,
    decay_factor: float | None = None,
) -> optax.Schedule:
    """The learning rate as a function of the step.

    Args:
        name: `constant`; `cosine`, down to zero at `num_steps`; or `step`, times `decay_factor` after
            every `decay_every` steps.
        learning_rate: the highest rate.
        num_steps: length of the run.
        warmup_steps: steps of linear rise from zero before that.
        decay_every: for `step` alone, in steps; a quarter of the run where None.
        decay_factor: for `step` alone; a half where None.

    Raises:
        ValueError: on an unknown name, a rate that is not positive, a warm-up as long as the run, or a
            decay for another schedule.
    """
    expect_choice("schedule", name, SCHEDULES)
    expect_positive("learning_rate", learning_rate)
    expect_in_range("warmup_steps", warmup_steps, 0, num_steps)
    if decay_every is not None or decay_factor is not None:
        expect_choice("the schedule of a decay", name, ["step"])
    rest = num_steps - warmup_steps
    if name == "constant":
        schedule = optax.constant_schedule(learning_rate)
    elif name == "cosine":
        schedule = optax.cosine_decay_schedule(learning_rate, rest)
    else:
        every = max(1, num_steps // 4) if decay_every is None else decay_every
        factor = 0.5 if decay_factor is None else decay_factor
        expect_positive("decay_every", every)
        expect_positive("decay_factor", factor)
        schedule = optax.exponential_decay(learning_rate, every, factor, staircase=True)
    if warmup_steps == 0:
        return schedule
    warmup = optax.linear_schedule(0.0, learning_rate, warmup_steps)
    return optax.join_schedules([warmup, schedule], [warmup_steps])


def make_optimizer(
    name: str,
    schedule: optax.ScalarOrSchedule,
    *,
    weight_decay: float | None = None,
    max_gradient_norm: float | None = None,
) -> optax.GradientTransformation:
    """An optax optimiser by name, with optional clipping of the gradient's global norm.

    Args:
        name: `adam`, `adamw`, `adamax` or `rmsprop`.
        schedule: the learning rate, a number or a function of the step.
        weight_decay: for `adamw` alone; optax's default where None.
        max_gradient_norm: gradients longer than this are scaled down to it; None for no limit.

    Raises:
        ValueError: on an unknown name, a weight decay for another optimiser, or a norm that is not positive.
    """
    expect_choice("optimizer", name, OPTIMIZERS)
    options = {}
    if weight_decay is not None:
        expect_choice("the optimizer of a weight decay", name, ["adamw"])
        expect_in_range("weight_decay", weight_decay, 0, float("inf"))
        options["weight_decay"] = weight_decay
    optimizer = OPTIMIZERS[name](schedule, **options)
    if max_gradient_norm is None:
        return optimizer
    expect_positive("max_gradient_norm", max_gradient_norm)
    return optax.chain(optax.clip_by_global_norm(max_gradient_norm), optimizer)
