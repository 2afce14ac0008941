"""`jaxvae report`."""

import dataclasses
import pathlib

import tyro

from jaxvae._checks import expect_choice
from jaxvae.report import make_report
from jaxvae.runs import load_run
from jaxvae.writers import replace_text


@dataclasses.dataclass(frozen=True)
class Report:
    """Write a run, or several beside each other, as one HTML page."""

    directories: tyro.conf.Positional[tuple[pathlib.Path, ...]]
    """Run directories."""
    output: pathlib.Path | None = None
    """The page; report.html in the run where none is given, or here for several."""
    pictures: tuple[str, ...] | None = None
    """Which ones; where none is given all that a run has, but for those that take minutes, such as tsne."""

    def run(self) -> None:
        """Writes the page."""
        if self.output is not None:
            expect_choice("the suffix of --output", self.output.suffix, [".html"])
        runs = [load_run(directory) for directory in self.directories]
        page = make_report(runs, pictures=self.pictures)
        folder = runs[0].directory if len(runs) == 1 else pathlib.Path()
        output = self.output or folder / "report.html"
        output.parent.mkdir(parents=True, exist_ok=True)
        replace_text(output, page)
        print(output)
