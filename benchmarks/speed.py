"""Throughput of the train step, the evaluator and the flow's inverse, beside PyTorch where asked.

    python benchmarks/speed.py --peer torch --json

Compilation, warm-up and measurement are apart; every repeat blocks on the device; all cases, and the
peer's, take turns in each repeat, so that a machine whose speed drifts is as unkind to one as to the other.
"""

import dataclasses
import importlib.metadata
import json
import pathlib
import platform
import subprocess
import sys
from typing import Literal

import jax
import jax.numpy as jnp
import tyro
from cases import (
    Case,
    evaluate_case,
    import_case,
    inverse_case,
    peak_case,
    temporary_megabytes,
    train_case,
)

from jaxvae.build import build_dataset
from jaxvae.config import Config
from jaxvae.presets import load_preset


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    preset: str = "mnist-mean-field"
    """The model."""
    kinds: tuple[Literal["train", "evaluate", "inverse", "memory", "import"], ...] = (
        "train",
        "evaluate",
        "inverse",
        "memory",
        "import",
    )
    """Train step, evaluator, an autoregressive flow's inverse (whatever the preset), the evaluator's memory
    as the samples grow, and the import."""
    precisions: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
    """Of the train step and the evaluator."""
    batch_sizes: tuple[int, ...] = (128, 512)
    """Of the train step."""
    num_images: int = 100
    """That the evaluator scores at a time."""
    num_samples: int = 1000
    """Per image."""
    chunk_sizes: tuple[int, ...] = (10, 20, 40)
    """Samples of an image at a time in our evaluator."""
    peer_chunk_sizes: tuple[int, ...] = (10, 20, 50)
    """The same in the peer's; its best counts."""
    repeats: int = 7
    """Measured repeats of each case."""
    seconds: float = 1.0
    """Length of a repeat of the train step, about."""
    peer: Literal["none", "torch"] = "none"
    """Whom to compare with."""
    json: bool = False
    """Print one JSON line and nothing else."""


def flow_sizes(config: Config) -> dict:
    """What the peer has to know of the posterior's flow.

    Raises:
        ValueError: if the flow is one that the peer does not have.
    """
    flow, asked = config.posterior, set(config.posterior.options())
    if config.prior.flow != "none" or flow.flow not in ("none", "iaf") or asked - {"num_flows", "widths"}:
        raise ValueError("Expected a flow that the PyTorch peer has (plain iaf, posterior); got another.")
    return {
        "num_flows": (flow.num_flows or 2) if flow.flow == "iaf" else 0,
        "flow_widths": flow.widths or (512, 512),
        "context_dim": flow.context_dim or config.model.latent_dim,
    }


class Peer:
    """The PyTorch side, in a process of its own."""

    def __init__(self, config: Config):
        script = pathlib.Path(__file__).with_name("torch_peer.py")
        self._sizes = {
            "latent_dim": config.model.latent_dim,
            "encoder_widths": config.encoder.widths,
            "decoder_widths": config.decoder.widths,
            **flow_sizes(config),
        }
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def case(self, name: str, count: int, gigaflop: float, **options) -> Case:
        """A case that the other process sets up, warms up and runs."""
        line = json.dumps({**options, "sizes": self._sizes}) + "\n"

        def run() -> float:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(line)
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
            if not answer:
                raise RuntimeError(
                    "Expected an answer from the PyTorch peer; got none (see its error above)."
                )
            return float(answer)

        run()
        return Case(name, run, count, gigaflop)


def compilers() -> tuple[str, ...]:
    """The peer's variants: on a GPU also with CUDA graphs."""
    return ("eager", "compile") if jax.default_backend() == "cpu" else ("eager", "compile", "reduce-overhead")


def peer_cases(peer: Peer, ours: list[Case], options: Options) -> list[Case]:
    """PyTorch's variants of what we measure."""
    cases = []
    for case in ours:
        kind, size, *_ = case.name.split()
        if kind == "evaluate" and f"by {options.chunk_sizes[0]} " not in case.name:
            continue  # the peer has chunk sizes of its own
        precision = case.name.split()[-1]
        for compiled in compilers():
            if kind == "train":
                given = {"batch_size": int(size), "num_steps": case.count // int(size)}
                given |= {"compiled": compiled, "precision": precision, "kind": kind}
                cases.append(peer.case(f"torch {case.name} {compiled}", case.count, case.gigaflop, **given))
            elif kind == "evaluate":
                whole = (options.num_samples,) if (compiled, precision) == ("eager", "float32") else ()
                for chunk in (*options.peer_chunk_sizes, *whole):
                    given = {"num_images": options.num_images, "num_samples": options.num_samples}
                    given |= {"chunk": chunk, "compiled": compiled, "precision": precision, "kind": kind}
                    name = f"torch evaluate by {chunk} {precision} {compiled}"
                    cases.append(peer.case(name, case.count, case.gigaflop, **given))
    return cases


def ratios(results: dict[str, dict], options: Options) -> dict[str, float]:
    """Our best over the peer's best, and the other figures that have a target; medians throughout."""

    def best(*words: str, without: str | None = None) -> float:
        named = {name: r["rate"] for name, r in results.items() if set(words) <= set(name.split())}
        ours = {n: r for n, r in named.items() if ("torch" in n) == ("torch" in words)}
        return max((r for n, r in ours.items() if without is None or without not in n), default=float("nan"))

    whole, found = f"by {options.num_samples} ", {}
    for batch in options.batch_sizes:
        found[f"train {batch}, best against best"] = best("train", str(batch)) / best(
            "torch", "train", str(batch)
        )
    for precision in options.precisions:
        ours, theirs = (("evaluate", precision), ("torch", "evaluate", precision))
        found[f"evaluate {precision}, both chunked"] = best(*ours) / best(*theirs, without=whole)
    in_one = best("torch", "evaluate", "by", str(options.num_samples), "float32")
    found["evaluate float32 against all samples in one array"] = best("evaluate", "float32") / in_one
    found["evaluate float32, share of the matrix peak"] = max(
        (r["gigaflop_per_second"] for n, r in results.items() if n.startswith("evaluate") and "float32" in n),
        default=float("nan"),
    ) / results.get("matrix peak float32", {}).get("gigaflop_per_second", float("nan"))
    found["inverse, parallel against sequential"] = best("parallel") / best("sequential")
    slow, fast = (best("import", word) for word in ("jaxvae", "jax,"))
    found["import, times that of jax, equinox and distrax"] = fast / slow
    return {name: value for name, value in found.items() if value == value}


def describe_machine() -> dict[str, str]:
    """What the figures depend on."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=pathlib.Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    versions = {n: importlib.metadata.version(n) for n in ("jax", "equinox", "optax", "distrax")}
    device = jax.devices()[0].device_kind
    return {"device": device, "processor": processor(), "python": platform.python_version(), **versions} | {
        "commit": commit.stdout.strip() or "unknown"
    }


def processor() -> str:
    """The CPU's name and how many of it there are."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


def our_cases(config: Config, images, options: Options) -> list[Case]:
    """The library's side."""
    cases, some = [], images[: options.num_images]
    if "inverse" in options.kinds:
        cases += [inverse_case(solver) for solver in ("parallel", "sequential")]
    for precision in options.precisions:
        if "train" in options.kinds:
            cases += [train_case(config, images, b, precision, options.seconds) for b in options.batch_sizes]
        if "evaluate" in options.kinds:
            samples = options.num_samples
            cases += [evaluate_case(config, some, precision, samples, c) for c in options.chunk_sizes]
    return cases


def take_turns(cases: list[Case], repeats: int) -> dict[str, dict]:
    """Runs every case in each repeat."""
    for _ in range(repeats):
        for case in cases:
            case.rates.append(case.count / case.run())
    return {case.name: case.summary() for case in cases}


def measure(options: Options) -> dict:
    """All cases in turn, repeated."""
    config = load_preset(options.preset)
    images = jnp.asarray(build_dataset(config).train.images)
    ours = our_cases(config, images, options)
    peers = peer_cases(Peer(config), ours, options) if options.peer == "torch" else []
    results = take_turns([*ours, peak_case(), *peers], options.repeats)
    if "import" in options.kinds:
        # Apart from the others: each starts a process.
        imports = [import_case(code) for code in ("import jaxvae", "import jax, equinox, distrax")]
        results |= take_turns(imports, options.repeats)
    report = {"machine": describe_machine(), "results": results, "ratios": ratios(results, options)}
    if "memory" in options.kinds:
        some, chunk = images[: options.num_images], options.chunk_sizes[0]
        report["evaluator_temporary_megabytes"] = {
            str(k): temporary_megabytes(config, some, k, chunk) for k in (100, 1000, 10_000)
        }
    return report


def show(report: dict) -> None:
    """The report as tables."""
    print(", ".join(f"{name} {value}" for name, value in report["machine"].items()), "\n")
    print(f"{'case':58}{'per second':>12}{'lowest':>12}{'highest':>12}{'GFLOP/s':>10}{'compile s':>11}")
    for name, r in report["results"].items():
        rates = "".join(
            f"{r[key]:>12,.4g}" if r[key] < 100 else f"{r[key]:>12,.0f}" for key in ("rate", "low", "high")
        )
        print(f"{name:58}{rates}{r['gigaflop_per_second']:>10.1f}{r['compile_seconds']:>11.1f}")
    print()
    for name, value in report["ratios"].items():
        print(f"{name:58}{value:>12.2f}")
    for num_samples, megabytes in report.get("evaluator_temporary_megabytes", {}).items():
        print(f"{f'evaluator, temporary memory with {num_samples} samples':58}{megabytes:>9.1f} MB")


if __name__ == "__main__":
    chosen = tyro.cli(Options, description=__doc__)
    report = measure(chosen)
    print(json.dumps(report)) if chosen.json else show(report)
