"""The train step, the loop on top of it, and what it saves."""

from jaxvae.train.batches import Batches as Batches
from jaxvae.train.checkpoint import Checkpoints as Checkpoints
from jaxvae.train.loop import NonFiniteLoss as NonFiniteLoss
from jaxvae.train.loop import train as train
from jaxvae.train.optimizers import make_optimizer as make_optimizer
from jaxvae.train.state import TrainState as TrainState
from jaxvae.train.state import init_state as init_state
from jaxvae.train.step import make_multi_step as make_multi_step
from jaxvae.train.step import make_stream_step as make_stream_step
from jaxvae.train.step import make_train_step as make_train_step
