"""A tour in cells, from the ELBO to inverse autoregressive flow to annealed importance sampling.

`python -m jaxvae.tutorial` runs it all, prints its numbers and writes its pictures to `tutorial/`. In VS
Code, or in Jupyter with Jupytext, it opens as a notebook.
"""

# %% [markdown]
# # How likely is a digit?
#
# We train two variational autoencoders (VAEs) on MNIST, one with a Gaussian posterior and one with a
# flow, and ask of each: what is log p(x), the log-probability that the model gives to an image it has not
# seen? The answer is an integral that nobody can do. The tour bounds it, estimates it, and then checks
# the estimate.
#
# Everything is in nats per image, higher is better, and every draw has a key. A number after +- is one
# standard error. The text says how to read what the cells print, not what they will print: another seed,
# or another machine, moves the digits. (In a notebook, `%matplotlib inline` lets the pictures show.)

# %%
# %matplotlib inline
import pathlib
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxvae
from jaxvae import plots
from jaxvae.decoders import DenseDecoder
from jaxvae.encoders import DenseEncoder
from jaxvae.estimators import sigmoid_schedule
from jaxvae.flows import make_iaf
from jaxvae.latents import latent_statistics, make_latent_evaluator
from jaxvae.likelihoods import Bernoulli, Likelihood
from jaxvae.posteriors import FlowPosterior, GaussianPosterior
from jaxvae.priors import StandardNormal
from jaxvae.train import Batches

IMAGE_SHAPE, LATENT_DIM, WIDTHS = (1, 28, 28), 20, (200, 200)
NUM_STEPS, BATCH_SIZE, LEARNING_RATE = 2000, 128, 2e-3
# Test images that are scored, those of the table of bounds, and those that are annealed: each costs more.
NUM_SCORED, NUM_BOUNDED, NUM_ANNEALED = 400, 100, 20
FOLDER = pathlib.Path("tutorial")


def keep(name, figure):
    """Writes a figure to the folder and returns it, for a notebook to show."""
    plots.save_figure(FOLDER / f"{name}.png", figure)
    return figure


def mean_and_error(values):
    """The mean over images and its standard error."""
    return np.mean(values, dtype=np.float64), np.std(values, ddof=1) / np.sqrt(len(values))


# %% [markdown]
# ## 1. The data, and why they need a protocol
#
# MNIST is grey, and the usual model of its pixels is a coin: black or white. So the images are made
# binary, and how that is done changes log p(x) by more than most models do. Here each pixel is drawn
# once, white with a probability of its grey level, and then frozen ("static" binarisation). Models that
# draw the pixels afresh at every visit, or feed grey levels to the coin, are scored on other data, and
# their numbers cannot be compared with these. The same goes for the split: 50,000 images train, 10,000
# are for choices, 10,000 are for the score.
#
# A yardstick: a fair coin for each of the 784 pixels gives every image -784 log 2 nats.

# %%
data = jaxvae.load_dataset("mnist", binarization="static")
x_train, x_test = data.train.images, np.asarray(data.test.images[:NUM_SCORED], np.float32)
print(f"{len(x_train):,} training images {data.image_shape} with pixels {np.unique(x_train)}")
print(f"fair coins: log p(x) = {-784 * np.log(2):.1f}")
keep("data", plots.image_grid(x_test[:32], title="test images, binarised"))

# %% [markdown]
# ## 2. A VAE is three functions
#
# An unseen code z of 20 numbers is drawn from the prior p(z) = N(0, I), and the decoder turns it into the
# probabilities of the pixels, p(x | z). The encoder goes the other way: for an image x it proposes which
# z it may have come from, q(z | x), a Gaussian with a mean and a scale for each latent (Kingma & Welling
# 2014, arXiv:1312.6114). Each is a function of one example that returns a distribution; `jax.vmap` makes
# it many.


# %%
def make_decoder(key):
    """P(x | z): a coin for each pixel."""
    return Likelihood(DenseDecoder(LATENT_DIM, IMAGE_SHAPE, WIDTHS, key=key), Bernoulli)


encoder_key, decoder_key, flow_key = jax.random.split(jax.random.key(0), 3)
encoder = DenseEncoder(IMAGE_SHAPE, LATENT_DIM, WIDTHS, key=encoder_key)
model = jaxvae.VAE(GaussianPosterior(encoder), StandardNormal(LATENT_DIM), make_decoder(decoder_key))

x, key = x_test[0], jax.random.key(1)
z, log_q_z = model.posterior(x).sample_and_log_prob(seed=key)
log_p_z, log_p_x_given_z = model.prior().log_prob(z), model.likelihood(z).log_prob(x)
print(f"log q(z | x) = {log_q_z:.2f}, log p(z) = {log_p_z:.2f}, log p(x | z) = {log_p_x_given_z:.2f}")

# %% [markdown]
# ## 3. One number: the log-weight
#
# The three meet in one number, for one image and one draw z ~ q(z | x):
#
#     log w = log p(x | z) + log p(z) - log q(z | x)
#
# The mean of w itself is exactly p(x), whatever q is. The mean of log w is lower, because the log is
# concave:
#
#     E[log w] <= log E[w] = log p(x),   and what is missing is KL(q(z | x) || p(z | x))
#
# That mean is the evidence lower bound, the ELBO. To train is to climb it: with z = loc + scale * noise
# it has a gradient in all parameters, of which one draw for each image gives an unbiased estimate.

# %%
by_hand = log_p_x_given_z + log_p_z - jnp.asarray(log_q_z)
log_w = jaxvae.log_weight(model, key, x)
print(f"log w by hand {by_hand:.2f}, by jaxvae.log_weight {log_w:.2f}: a model that has learnt nothing")


def loss_fn(model, key, x, y):
    """The negative ELBO of one image, from one draw; the step takes the mean over the batch."""
    return -jaxvae.elbo(jaxvae.make_log_weight(model, x, y), key)


def fit(model):
    """Trains a model; returns it, and the ELBO of the batches at every 100th step."""
    optimizer = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, NUM_STEPS))
    step = jaxvae.make_train_step(loss_fn, optimizer)
    state = jaxvae.init_state(model, optimizer, jax.random.key(2))
    batches = Batches(x_train, None, BATCH_SIZE, jax.random.key(3))
    start, losses, records = time.perf_counter(), [], []
    for i in range(NUM_STEPS):
        images, _ = batches[i]
        state, loss = step(state, jnp.asarray(images, jnp.float32))
        losses.append(loss)
        if (i + 1) % 100 == 0:
            records.append({"step": i + 1, "train_elbo": -float(np.mean(losses[-100:]))})
    seconds, elbo = time.perf_counter() - start, records[-1]["train_elbo"]
    print(
        f"{NUM_STEPS:,} steps of {BATCH_SIZE} images in {seconds:.0f} s: ELBO of the last batches {elbo:.2f}"
    )
    return state.model, records


mean_field, mean_field_records = fit(model)

# %% [markdown]
# What it has learnt: images of draws from the prior, and test images that went through a draw of z and
# back.

# %%
keys = jax.random.split(jax.random.key(4), 64)
samples = jax.jit(jax.vmap(lambda key: jaxvae.generate(mean_field, key)))(keys)
keep("samples", plots.image_grid(np.asarray(samples), title="samples: p(x | z) of z ~ p(z)"))

# %%
outputs = jax.jit(jax.vmap(lambda key, x: jaxvae.reconstruct(mean_field, key, x)))(keys[:32], x_test[:32])
keep("reconstructions", plots.reconstructions(x_test[:32], np.asarray(outputs)))

# %% [markdown]
# ## 4. From the ELBO to log p(x)
#
# Average K weights before taking the log:
#
#     L_K = E[log (1/K) sum_k w_k],   L_1 = ELBO,   L_K <= L_(K+1) <= log p(x)
#
# These are the importance-weighted bounds (IWAE; Burda et al. 2016, arXiv:1509.00519). They rise to log
# p(x) as K grows, for the same trained model: nothing is gained but knowledge. Below, 1,000 draws of each
# image serve each bound, as 1,000 / K estimates of it. The images differ much from each other, so the
# first error is large; every bound is of the same images, so the rise from one to the next is known far
# better.


# %%
def bounds_of_images(num_samples):
    """L_K of each image, the mean of 1,000 / K estimates."""

    def of_image(pair):
        x, key = pair
        log_weight_fn = jaxvae.make_log_weight(mean_field, x)
        keys = jax.random.split(key, 1000 // num_samples)
        return jnp.mean(jax.vmap(lambda key: jaxvae.iwae(log_weight_fn, key, num_samples))(keys))

    keys = jax.random.split(jax.random.fold_in(jax.random.key(5), num_samples), NUM_BOUNDED)
    # One image after the other: 1,000 draws of all of them at once would fill the memory.
    return np.asarray(jax.lax.map(of_image, (x_test[:NUM_BOUNDED], keys)))


bounds = {num_samples: bounds_of_images(num_samples) for num_samples in (1, 10, 100, 1000)}
print(f"     K   L_K of {NUM_BOUNDED} images   rise")
previous = None
for num_samples, values in bounds.items():
    rise = "" if previous is None else "{:.2f} +- {:.2f}".format(*mean_and_error(values - previous))
    print(f"{num_samples:6,}", "  {:.2f} +- {:.2f}   ".format(*mean_and_error(values)), rise)
    previous = values

# %% [markdown]
# L_K is also how log p(x) is estimated by importance sampling, with three questions to ask of the K
# weights:
#
# - What is the standard error? The spread of the weights tells.
# - How many draws count? The effective sample size (ESS) is K when all weights are equal, and 1 when one
#   weight outweighs the rest.
# - Have the largest weights been seen at all? If not, the first two answers are too good. Pareto's k,
#   fitted to the largest weights, says how heavy their tail is (Vehtari et al. 2024, arXiv:1507.02646);
#   `reliable` says whether it is light enough for this K.
#
# One image first, then `make_evaluator`, which scores many. Its second error is Monte Carlo's alone,
# which more draws would lower; the first is about which images were scored.


# %%
def importance(model, key, x, y):
    """Log p(x) of one image by importance sampling."""
    return jaxvae.importance_log_likelihood(jaxvae.make_log_weight(model, x, y), key, num_samples=1000)


def report(name, evaluation):
    """Prints what an evaluation says, in a line."""
    numbers = evaluation.summary()
    print(
        f"{name:16} ELBO {numbers['elbo']:.2f};",
        f"log p(x) {numbers['log_p_x']:.2f} +- {numbers['log_p_x_standard_error']:.2f},",
        f"+- {numbers['log_p_x_monte_carlo_error']:.3f};",
        f"ESS {numbers['effective_sample_size']:.1f}, {numbers['reliable']:.0%} reliable",
    )


one = importance(mean_field, jax.random.key(6), x, None)
print(
    f"test image 0: ELBO {one.elbo:.2f}; log p(x) {one.log_p:.2f} +- {one.standard_error:.2f};",
    f"ESS {one.effective_sample_size:.1f} of 1,000, k {one.pareto_k:.2f}, reliable: {one.reliable}",
)
evaluate_importance = jaxvae.make_evaluator(importance)
mean_field_scores = evaluate_importance(mean_field, jax.random.key(7), x_test)
report(f"{NUM_SCORED} test images", mean_field_scores)

# %% [markdown]
# ## 5. A better posterior: inverse autoregressive flow
#
# What the ELBO misses is KL(q(z | x) || p(z | x)), and a Gaussian with independent latents cannot follow
# every p(z | x). A flow bends it. Inverse autoregressive flow (IAF; Kingma et al. 2016, arXiv:1606.04934)
# moves every latent by a gate and a value that a masked network computes from the latents before it, and
# from a context h that the encoder gives along:
#
#     z'_i = g_i z_i + (1 - g_i) m_i,   g_i, m_i functions of z_1 ... z_(i-1) and h
#     log q(z' | x) = log q(z | x) - log |det dz'/dz|,   log |det dz'/dz| = sum_i log g_i
#
# The Jacobian is triangular, so that its determinant is a product of gates. Everything hangs on that sum:
# with a wrong one log w is wrong, and "log p(x)" can be as high as you like. So we do not believe it, and
# let JAX differentiate the flow and take the determinant of the whole matrix, at real contexts and random
# z.

# %%
flow_encoder = DenseEncoder(IMAGE_SHAPE, LATENT_DIM, WIDTHS, context_dim=LATENT_DIM, key=encoder_key)
flow = make_iaf(LATENT_DIM, num_flows=2, widths=WIDTHS, context_dim=LATENT_DIM, key=flow_key)
flow_posterior = FlowPosterior(flow_encoder, flow)
flow_model = jaxvae.VAE(flow_posterior, StandardNormal(LATENT_DIM), make_decoder(decoder_key))
iaf, iaf_records = fit(flow_model)
keep("training", plots.compare_curves({"mean field": mean_field_records, "IAF": iaf_records}, "train_elbo"))


# %%
def log_dets(posterior, z, x):
    """Log |det dz'/dz| at one z: by the flow, and from its whole Jacobian."""
    _, _, context = posterior.encoder(x)
    _, log_det = posterior.flow.forward_and_log_det(z, context)
    jacobian = jax.jacfwd(lambda z: posterior.flow.forward_and_log_det(z, context)[0])(z)
    return log_det, jnp.linalg.slogdet(jacobian)[1]


z = jax.random.normal(jax.random.key(8), (20, LATENT_DIM))
log_dets_of_images = eqx.filter_jit(eqx.filter_vmap(log_dets, in_axes=(None, 0, 0)))
of_flow, of_jacobian = log_dets_of_images(iaf.posterior, z, x_test[:20])
jacobian_error = float(jnp.max(jnp.abs(of_flow - of_jacobian)))
print(
    f"log |det| from {of_jacobian.min():.2f} to {of_jacobian.max():.2f};",
    f"the flow's own is off by {jacobian_error:.1e} at most",
)

# %% [markdown]
# Now both models on the same test images. The images differ by tens of nats from each other, so do not
# compare the two means by their errors: subtract image by image, and look at the mean of the differences
# and its error. A difference within two errors of 0 is none that these images can show. And it is a
# difference between two training runs, one seed each and short ones: what a flow is worth after a long
# training is another question (the README has answers).
#
# Two differences are printed. A better posterior raises the ELBO twice over: the bound gets tighter, and
# the decoder that was trained with it may be better, too. Only the second is in log p(x). What importance
# sampling misses of log p(x) is in both, though; section 6 looks at that.

# %%
iaf_scores = evaluate_importance(iaf, jax.random.key(7), x_test)
report("mean field", mean_field_scores)
report("IAF", iaf_scores)
elbo_gain = mean_and_error(iaf_scores.elbo - mean_field_scores.elbo)
log_p_gain = mean_and_error(iaf_scores.log_p - mean_field_scores.log_p)
print("IAF - mean field, ELBO:     {:+.2f} +- {:.2f}".format(*elbo_gain))
print("IAF - mean field, log p(x): {:+.2f} +- {:.2f}".format(*log_p_gain))

# %% [markdown]
# ## 6. Is that log p(x) right? Annealed importance sampling
#
# Importance sampling is low on average, and silently low where q(z | x) misses a part of p(z | x).
# Annealed importance sampling (AIS; Neal 2001, arXiv:physics/9803008) does not jump from one to the other
# but walks, through T distributions between them:
#
#     f_t(z) = q(z | x)^(1 - b_t) p(x, z)^b_t,   b_t from 0 to 1
#     log w = sum_t (b_t - b_(t-1)) (log p(x, z_(t-1)) - log q(z_(t-1) | x))
#
# At every b_t Hamiltonian Monte Carlo moves z, by the gradient of log f_t, to where f_t has its mass (Wu
# et al. 2017, arXiv:1611.04273). The mean of w is p(x) again, and its log is again low on average, but by
# less the slower the walk. `noise_space` lets the chains move in the noise that the posterior is made of,
# so that a flow need not be inverted.
#
# The first difference printed is AIS - importance sampling on the same images: both are low on average, so
# by how much AIS is above, importance sampling was too low at least. That need not be as much for both
# models, so the second asks again how they compare.


# %%
def annealed(model, key, x, y):
    """Log p(x) of one image by AIS: 16 chains, 100 temperatures, 10 leapfrog steps at each."""
    space = jaxvae.noise_space(model, x, y)
    return jaxvae.annealed_log_likelihood(
        space.log_joint_fn, space.start, key, schedule=sigmoid_schedule(100)
    )


evaluate_annealed = jaxvae.make_evaluator(annealed)
shortfall, annealed_log_p = {}, {}
for name, trained, scores in (("mean field", mean_field, mean_field_scores), ("IAF", iaf, iaf_scores)):
    annealed_scores = evaluate_annealed(trained, jax.random.key(9), x_test[:NUM_ANNEALED])
    report(f"{name}, AIS", annealed_scores)
    annealed_log_p[name] = annealed_scores.log_p
    difference = annealed_scores.log_p - scores.log_p[:NUM_ANNEALED]
    shortfall[name] = mean_and_error(difference)
    print(
        "{}: importance sampling is {:.2f} +- {:.2f} lower,".format(name, *shortfall[name]),
        f"on one image {difference.max():.2f}",
    )
sampled = mean_and_error((iaf_scores.log_p - mean_field_scores.log_p)[:NUM_ANNEALED])
walked = mean_and_error(annealed_log_p["IAF"] - annealed_log_p["mean field"])
print(
    "IAF - mean field, log p(x) of these images: {:+.2f} +- {:.2f} by importance sampling,".format(*sampled),
    "{:+.2f} +- {:.2f} by AIS".format(*walked),
)

# %% [markdown]
# And who checks AIS? An image that the model itself has drawn: then the z it came from is known, and it
# is an exact draw from p(z | x). Chains that walk back from there estimate log p(x) from above on
# average, where those that walk forward are below (bidirectional Monte Carlo; Grosse et al. 2015,
# arXiv:1511.02543). If the two meet, log p(x) lies between them, and the settings are good enough for
# this model. The gap is a mean over images, and has an error: it can come out a little below 0.


# %%
def two_sided(model, key, _, y):
    """Log p(x) from below and from above, of an image that is simulated from the key."""
    simulate_key, chains_key = jax.random.split(key)
    x, z = jaxvae.simulate(model, simulate_key, y)
    space = jaxvae.noise_space(model, x, y)
    noise = jnp.asarray(space.bijector.inverse(z))
    schedule = sigmoid_schedule(100)
    return jaxvae.bidirectional_gap(space.log_joint_fn, space.start, noise, chains_key, schedule=schedule)


# The evaluator numbers the images that are simulated.
simulated = np.arange(NUM_ANNEALED)
two_sides = jaxvae.make_evaluator(two_sided)(mean_field, jax.random.key(10), simulated).summary()
print(
    f"{NUM_ANNEALED} simulated images: log p(x) from {two_sides['lower']:.2f} to {two_sides['upper']:.2f},",
    f"a gap of {two_sides['gap']:.3f} +- {two_sides['gap_standard_error']:.3f}",
)

# %% [markdown]
# ## 7. Pictures
#
# Where the images are: the posterior means of 1,500 test images, brought from 20 dimensions into the
# plane by t-SNE. The model has never seen a label; the colours are ours.


# %%
def statistics(model, key, x, y):
    """Mean and KL of one image's posterior: exact for a Gaussian, from two draws for a flow."""
    return latent_statistics(model, key, jnp.asarray(x, jnp.float32), y, num_draws=2)


classes = np.asarray(data.test.labels)[:1500]
use = make_latent_evaluator(statistics)(mean_field, jax.random.key(11), data.test.images[:1500])
axis_names, title = ("first t-SNE dimension", "second t-SNE dimension"), "posterior means of test images"
keep("tsne", plots.scatter(plots.tsne(use.mean), classes, axis_names=axis_names, title=title))

# %% [markdown]
# What the latents are for: KL(q(z_d | x) || p(z_d)) of each is how many nats it says about an image. A
# latent that says nothing is not used: its posterior is the prior. "Active" are those whose posterior
# mean varies over the images (Burda et al. 2016, section 5.2).

# %%
keep("kl-per-latent", plots.kl_per_latent(use.kl_per_latent, use.num_active))

# %% [markdown]
# Which images the model finds likely, and which not. Where the decoder is sure of a pixel, and right, it
# costs nothing; at the edge of a stroke it is a coin toss, and costs up to log 2 = 0.69 nats. So long
# edges are dear, whatever they show.

# %%
keep("log-p-x", plots.log_p_histogram(mean_field_scores.log_p, x_test))

# %% [markdown]
# ## 8. Where to go on
#
# All of this at full length, with checkpoints and records, is on the command line:
#
#     jaxvae train mnist-iaf --run-dir runs/iaf        # 30,000 steps; `jaxvae presets` has more
#     jaxvae evaluate runs/iaf --estimator ais --num-images 500
#     jaxvae plot runs/iaf                             # these pictures, and more
#     jaxvae report runs/iaf                           # all that is known of the run, as one page
#     jaxvae explore runs/iaf                          # its latent space, in the browser
#
# In code, swap a function: another encoder, `jaxvae.dreg` for `jaxvae.elbo`, a flow as the prior
# (`jaxvae.priors.FlowPrior`), your own model in `make_log_weight`. The README has an example of each.
