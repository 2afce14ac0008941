"""Looks at the latent space of a run as it trains, and the GIF that they make."""

import dataclasses
import pathlib

import numpy as np

from jaxvae import plots
from jaxvae._checks import expect_positive
from jaxvae.data import Dataset
from jaxvae.model import VAE
from jaxvae.runs import Run, View
from jaxvae.train.loop import Observer
from jaxvae.writers import ProgressBar

_NUM_IMAGES, _NUM_SAMPLES = 1000, 36


@dataclasses.dataclass(frozen=True)
class Animation:
    """The frames of a run, one file each in `plots/latents/`: a run that was stopped goes on with them.

    Args:
        run: in training.
        dataset: whose test images are looked at.
    """

    run: Run
    dataset: Dataset

    def observer(self, every: int) -> Observer:
        """Who looks at the model after every so many steps."""
        return Observer(every, self.keep)

    def keep(self, step: int, model: VAE) -> None:
        """Writes a frame: the posterior means of the first test images, and samples of the same noise."""
        view, labels = View(self.run, model, self.run.config.seed), self.run.labels(self.dataset, "test")
        kept = slice(_NUM_IMAGES)
        use = view.encode(self.dataset.test.images[kept], None if labels is None else labels[kept])
        self._folder.mkdir(parents=True, exist_ok=True)
        # Half precision is more than a screen has.
        means, samples = use.mean.astype(np.float16), view.sample(_NUM_SAMPLES).astype(np.float16)
        np.savez_compressed(self._folder / f"{step:08d}.npz", means=means, samples=samples)

    def save(self) -> pathlib.Path:
        """Writes `plots/latents.gif` from all frames: the two latents whose means vary most in the last.

        Raises:
            ValueError: if there is no frame.
        """
        files = sorted(self._folder.glob("*.npz"))
        expect_positive(f"the number of frames in {self._folder}", len(files))
        steps = [int(path.stem) for path in files]
        arrays = [np.load(path) for path in files]
        first, second = sorted(np.argsort(-np.var(arrays[-1]["means"].astype(np.float32), axis=0))[:2])
        frames = [
            plots.LatentFrame(step, array["means"][:, [first, second]].astype(np.float32), array["samples"])
            for step, array in zip(steps, arrays, strict=True)
        ]
        classes = self.dataset.test.labels
        path = self.run.directory / "plots" / "latents.gif"
        with ProgressBar(len(frames), "frame") as bar:
            plots.save_animation(
                path,
                frames,
                None if classes is None else classes[:_NUM_IMAGES],
                axis_names=(f"latent {first}", f"latent {second}"),
                on_frame=bar.advance,
            )
        return path

    @property
    def _folder(self) -> pathlib.Path:
        return self.run.directory / "plots" / "latents"
