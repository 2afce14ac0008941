"""The run directory: a run that describes itself, trains, resumes, and is read back."""

from jaxvae.runs.directory import Run as Run
from jaxvae.runs.directory import create_run as create_run
from jaxvae.runs.directory import expect_resumable as expect_resumable
from jaxvae.runs.directory import load_run as load_run
from jaxvae.runs.directory import new_directory as new_directory
from jaxvae.runs.directory import new_tally as new_tally
from jaxvae.runs.evaluation import bound_run as bound_run
from jaxvae.runs.evaluation import classify_run as classify_run
from jaxvae.runs.evaluation import evaluate_run as evaluate_run
from jaxvae.runs.evaluation import expect_conditional as expect_conditional
from jaxvae.runs.evaluation import load_scores as load_scores
from jaxvae.runs.evaluation import measure_latents as measure_latents
from jaxvae.runs.evaluation import summarize as summarize
from jaxvae.runs.training import train_run as train_run
from jaxvae.runs.view import View as View
