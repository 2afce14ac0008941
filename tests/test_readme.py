import pathlib
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest

import jaxvae

README = pathlib.Path(__file__).parents[1] / "README.md"


def python_blocks():
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_functional_examples_run_and_learn():
    example, annealing, *_ = python_blocks()
    names = {}
    exec(compile(example + annealing, "README.md", "exec"), names)
    assert names["state"].step == 300
    assert 80 < names["loss"] < 160
    assert jnp.isfinite(names["estimate"].log_p)
    assert names["estimate"].standard_error > 0
    error = names["annealed"].standard_error
    assert names["annealed"].log_p > names["estimate"].log_p - 4 * error > -200
    assert -1 < names["bounds"].gap < 20


@pytest.mark.usefixtures("compile_fast")
def test_the_other_examples_run_and_the_loss_of_flows_trains():
    _, _, *examples = python_blocks()
    names = {}
    exec(compile("\n".join(examples), "README.md", "exec"), names)
    # The conditional model has begun to learn, and draws what it should.
    assert names["loss"] < 300
    assert names["seven"].shape == (1, 28, 28)
    assert jnp.abs(names["q"].log_prob(names["z"]) - names["log_q"]).max() < 1e-3
    net = eqx.nn.MLP(784, 48, 50, 1, key=jax.random.key(2))
    decoder = jaxvae.decoders.DenseDecoder(20, (1, 28, 28), (50,), key=jax.random.key(3))
    model = jaxvae.VAE(
        names["FlowPosterior"](net, names["flow"]),
        jaxvae.priors.StandardNormal(20),
        jaxvae.likelihoods.Likelihood(decoder, jaxvae.likelihoods.Bernoulli),
    )
    optimizer = optax.adam(1e-3)
    step = jaxvae.make_train_step(names["half_kl_loss"], optimizer)
    state = jaxvae.init_state(model, optimizer, jax.random.key(4))
    images = jax.random.bernoulli(jax.random.key(5), 0.2, (16, 1, 28, 28)).astype(jnp.float32)
    losses = []
    for _ in range(20):
        state, loss = step(state, images)
        losses.append(loss)
    assert losses[-1] < losses[0] - 50


@pytest.mark.parametrize("name", re.findall(r"\]\(([^)h#][^)]*)\)", README.read_text()))
def test_every_file_that_the_readme_points_to_exists(name):
    assert (README.parent / name).exists()
