"""Looks at the latent space of a run as it trains, and the GIF that they make."""

import dataclasses
import pathlib

import numpy as np

from jaxvae import plots
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
        """Who looks at the model after every so many steps; drops frames from after the latest checkpoint."""
        latest = self.run.checkpoints.latest()
        for path in self._files():
            if latest is None or int(path.stem) > int(latest.name):
                path.unlink()
        return Observer(every, self.keep)

    def keep(self, step: int, model: VAE) -> None:
        """Writes a frame: the posterior means of the first test images, and samples of the same noise."""
        view, labels = View(self.run, model, self.run.config.seed), self.run.labels(self.dataset, "test")
        kept = slice(_NUM_IMAGES)
        use = view.encode(self.dataset.test.images[kept], None if labels is None else labels[kept])
        path = self._folder / f"{step:08d}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        # Half precision is more than a screen has.
        means, samples = use.mean.astype(np.float16), view.sample(_NUM_SAMPLES).astype(np.float16)
        with open(part, "wb") as file:
            np.savez_compressed(file, means=means, samples=samples)
        part.replace(path)

    def save(self) -> pathlib.Path:
        """Writes `plots/latents.gif` from all frames: the two latents whose means vary most in the last.

        The last frame is of the run's latest state, whether it was looked at or not.
        """
        state, _ = self.run.load_state()
        self.keep(int(state.step), state.eval_model)
        files = self._files()
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

    def _files(self) -> list[pathlib.Path]:
        return sorted(self._folder.glob("*.npz"))

    @property
    def _folder(self) -> pathlib.Path:
        return self.run.directory / "plots" / "latents"
