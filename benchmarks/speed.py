"""Throughput of the train step, the evaluators and the flow's inverse, beside PyTorch where asked.

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
from typing import Literal

import jax
import jax.numpy as jnp
import tyro
from annealing import ais_case, ais_gigaflop, peer_ais_case
from cases import (
    Case,
    evaluate_case,
    evaluate_gigaflop,
    fed_case,
    import_case,
    inverse_case,
    peak_case,
    sample_case,
    temporary_megabytes,
    train_case,
    train_gigaflop,
)
from peer import Peer, train_options

from jaxvae.build import build_dataset
from jaxvae.config import Config
from jaxvae.presets import load_preset

# Data that are not on the device as a whole.
_SENT = ("synthetic", "host", "stream")


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    preset: str = "mnist-mean-field"
    """The model."""
    kinds: tuple[Literal["train", "evaluate", "ais", "sample", "inverse", "memory", "import"], ...] = (
        "train",
        "evaluate",
        "inverse",
        "memory",
        "import",
    )
    """Train step, evaluator, annealed importance sampling, drawing images, an autoregressive flow's inverse
    (whatever the preset), the evaluator's memory as the samples grow, and the import."""
    precisions: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
    """Of the train step, the evaluator and annealed importance sampling."""
    batch_sizes: tuple[int, ...] = (128, 512)
    """Of the train step."""
    data: tuple[Literal["synthetic", "resident", "host", "stream"], ...] = ("resident",)
    """Where the train step's images are: on the device, in the host's memory, or on disk; synthetic ones need
    no input pipeline."""
    num_images: int = 100
    """That the evaluator scores, or that are drawn, at a time."""
    num_samples: int = 1000
    """Per image."""
    chunk_sizes: tuple[int, ...] = (10, 20, 40)
    """Samples of an image at a time in our evaluator."""
    peer_chunk_sizes: tuple[int, ...] = (10, 20, 50)
    """The same in the peer's; its best counts."""
    ais_images: tuple[int, ...] = (25, 50, 100)
    """Images at a time in annealed importance sampling, in ours and in the peer's."""
    ais_chunk_sizes: tuple[int, ...] = (8, 16)
    """Chains of an image at a time in ours; the peer has all of them."""
    repeats: int = 7
    """Measured repeats of each case."""
    seconds: float = 1.0
    """Length of a repeat of the train step, about; one step at least."""
    peer: Literal["none", "torch"] = "none"
    """Whom to compare with."""
    peer_modes: tuple[Literal["eager", "compile", "reduce-overhead", "max-autotune"], ...] = ()
    """The peer's variants: chosen for the device where none are given."""
    json: bool = False
    """Print one JSON line and nothing else."""


def peer_modes(options: Options) -> tuple[str, ...]:
    """The peer's variants: on a GPU also with CUDA graphs."""
    default = (
        ("eager", "compile") if jax.default_backend() == "cpu" else ("eager", "compile", "reduce-overhead")
    )
    return options.peer_modes or default


def peer_cases(peer: Peer, config: Config, ours: list[Case], options: Options) -> list[Case]:
    """PyTorch's variants of what we measure."""
    cases = []
    for case in ours:
        kind, size, *_, precision = case.name.split()
        if set(case.name.split()) & set(_SENT):
            continue
        # The peer has chunk sizes of its own.
        chunk_sizes = {"evaluate": options.chunk_sizes, "ais": options.ais_chunk_sizes}.get(kind)
        if chunk_sizes and f"by {chunk_sizes[0]} " not in case.name:
            continue
        for mode in peer_modes(options):
            given = {"compiled": mode, "precision": precision, "kind": kind}
            if kind == "train":
                given |= {"batch_size": int(size), "num_steps": case.count // int(size)} | train_options(
                    config
                )
                cases.append(peer.case(f"torch {case.name} {mode}", case.count, case.gigaflop, **given))
            elif kind == "evaluate":
                cases += peer_evaluate_cases(peer, config, case, given, options)
            elif kind == "ais":
                cases.append(peer_ais_case(peer, int(size), precision, mode, case.gigaflop / case.count))
    return cases


def peer_evaluate_cases(peer: Peer, config: Config, case: Case, given: dict, options: Options) -> list[Case]:
    """Of one precision and one mode, at several chunk sizes."""
    given = {"num_images": options.num_images, "num_samples": options.num_samples, **given}
    mode, precision = given["compiled"], given["precision"]
    # The maps of all samples at once would not fit.
    whole = (mode, precision, config.decoder.network) == ("eager", "float32", "dense")
    return [
        peer.case(
            f"torch evaluate by {chunk} {precision} {mode}", case.count, case.gigaflop, chunk=chunk, **given
        )
        for chunk in (*options.peer_chunk_sizes, *(options.num_samples,) * whole)
    ]


def ratios(results: dict[str, dict], options: Options) -> dict[str, float]:
    """Our best over the peer's best, and the other figures that have a target; medians throughout."""

    def best(*words: str, without: str | None = None) -> float:
        named = {name: r["rate"] for name, r in results.items() if set(words) <= set(name.split())}
        ours = {n: r for n, r in named.items() if ("torch" in n) == ("torch" in words)}
        if not set(words) & set(_SENT):
            ours = {n: r for n, r in ours.items() if not set(n.split()) & set(_SENT)}
        return max((r for n, r in ours.items() if without is None or without not in n), default=float("nan"))

    whole, found = f"by {options.num_samples} ", {}
    for batch in options.batch_sizes:
        found[f"train {batch}, best against best"] = best("train", str(batch)) / best(
            "torch", "train", str(batch)
        )
        for data in _SENT:
            for precision in options.precisions:
                sent, resident = (
                    best("train", str(batch), data, precision),
                    best("train", str(batch), precision),
                )
                found[f"train {batch} {precision}, {data} over resident"] = sent / resident
    for precision in options.precisions:
        ours, theirs = (("evaluate", precision), ("torch", "evaluate", precision))
        found[f"evaluate {precision}, both chunked"] = best(*ours) / best(*theirs, without=whole)
        found[f"ais {precision}, best against best"] = best("ais", precision) / best(
            "torch", "ais", precision
        )
    in_one = best("torch", "evaluate", "by", str(options.num_samples), "float32")
    found["evaluate float32 against all samples in one array"] = best("evaluate", "float32") / in_one
    for kind in ("evaluate", "ais"):
        shares = [r["peak_share"] for n, r in results.items() if n.startswith(kind) and "float32" in n]
        found[f"{kind} float32, share of the matrix peak"] = max(shares, default=float("nan"))
    found["inverse, parallel against sequential"] = best("parallel") / best("sequential")
    found["sample, cached against whole passes"] = best("sample", "cached") / best("sample", "whole")
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


def our_cases(
    config: Config, images, options: Options, peaks: list[Case], gigaflop: dict[str, float]
) -> list[Case]:
    """The library's side."""
    cases, some = [], images[: options.num_images]
    if "inverse" in options.kinds:
        cases += [inverse_case(solver) for solver in ("parallel", "sequential")]
    if "sample" in options.kinds:
        cases += [sample_case(route) for route in ("cached", "whole")]
    for precision, peak in zip(options.precisions, peaks, strict=True):
        if "train" in options.kinds:
            work = options.seconds, gigaflop["train"], peak.gigaflop / peak.run()
            cases += [
                train_case(config, images, b, precision, *work)
                if data == "resident"
                else fed_case(config, sent_images(config, data), b, precision, *work[:2], data)
                for b in options.batch_sizes
                for data in options.data
            ]
        if "evaluate" in options.kinds:
            work = precision, options.num_samples
            cases += [
                evaluate_case(config, some, *work, c, gigaflop["evaluate"]) for c in options.chunk_sizes
            ]
        if "ais" in options.kinds:
            cases += [
                ais_case(config, images[:n], precision, c, gigaflop["ais"])
                for n in options.ais_images
                for c in options.ais_chunk_sizes
            ]
    return cases


def sent_images(config: Config, data: str):
    """The training images, on disk where they are to be streamed."""
    placement = "stream" if data == "stream" else "host"
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, placement=placement))
    return build_dataset(config).train.images


def count_work(config: Config, image_shape: tuple[int, ...], options: Options) -> dict[str, float]:
    """GFLOP of an example, of an image-sample, or of a gradient, by kind."""
    found = {}
    if "train" in options.kinds:
        found["train"] = train_gigaflop(config, image_shape)
    if "evaluate" in options.kinds:
        found["evaluate"] = evaluate_gigaflop(config, image_shape, options.num_samples)
    if "ais" in options.kinds:
        found["ais"] = ais_gigaflop(config, image_shape)
    return found


def take_turns(cases: list[Case], repeats: int) -> dict[str, dict]:
    """Runs every case in each repeat."""
    for _ in range(repeats):
        for case in cases:
            case.rates.append(case.count / case.run())
    return {case.name: case.summary() for case in cases}


def add_shares(results: dict[str, dict]) -> None:
    """To every case whose work is counted, its share of the best matrix product of its precision."""
    for name, result in results.items():
        precision = next((word for word in name.split() if f"matrix peak {word}" in results), None)
        if precision is not None and result["gigaflop_per_second"]:
            peak = results[f"matrix peak {precision}"]["best_gigaflop_per_second"]
            result["peak_share"] = result["gigaflop_per_second"] / peak


def measure(options: Options) -> dict:
    """All cases in turn, repeated."""
    config = load_preset(options.preset)
    if config.model.labels != "none" or config.likelihood.name not in ("bernoulli", "grey-bernoulli"):
        raise ValueError(f"Expected a preset of unlabelled Bernoulli pixels; got {options.preset}.")
    images = jnp.asarray(build_dataset(config).train.images)
    gigaflop = count_work(config, images.shape[1:], options)
    peaks = [peak_case(precision) for precision in options.precisions]
    ours = our_cases(config, images, options, peaks, gigaflop)
    peers = peer_cases(Peer(config), config, ours, options) if options.peer == "torch" else []
    results = take_turns([*ours, *peaks, *peers], options.repeats)
    add_shares(results)
    if "import" in options.kinds:
        # Apart from the others: each starts a process.
        imports = [import_case(code) for code in ("import jaxvae", "import jax, equinox, distrax")]
        results |= take_turns(imports, options.repeats)
    report = {
        "machine": describe_machine(),
        "gigaflop_per_example": gigaflop,
        "results": results,
        "ratios": ratios(results, options),
    }
    if "memory" in options.kinds:
        some, chunk = images[: options.num_images], options.chunk_sizes[0]
        report["evaluator_temporary_megabytes"] = {
            str(k): temporary_megabytes(config, some, k, chunk) for k in (100, 1000, 10_000)
        }
    return report


def show(report: dict) -> None:
    """The report as tables."""
    print(", ".join(f"{name} {value}" for name, value in report["machine"].items()), "\n")
    heads = ("lowest", "highest", "GFLOP/s", "of peak", "MB/image", "compile s")
    print(f"{'case':50}{'per second':>12}" + "".join(f"{head:>11}" for head in heads))
    for name, r in report["results"].items():
        rates = "".join(
            f"{r[key]:>11,.4g}" if r[key] < 100 else f"{r[key]:>11,.0f}" for key in ("rate", "low", "high")
        )
        rest = f"{r['gigaflop_per_second']:>11,.1f}{r.get('peak_share', float('nan')):>11.2f}"
        rest += f"{r['temporary_megabytes_per_image']:>11.2f}{r['compile_seconds']:>11.1f}"
        print(f"{name:50} {rates}{rest}".replace("nan", "  -"))
    print()
    for kind, gigaflop in report["gigaflop_per_example"].items():
        print(f"{f'{kind}, GFLOP per example':58}{gigaflop:>12.5f}")
    for name, value in report["ratios"].items():
        print(f"{name:58}{value:>12.2f}")
    for num_samples, megabytes in report.get("evaluator_temporary_megabytes", {}).items():
        print(f"{f'evaluator, temporary memory with {num_samples} samples':58}{megabytes:>9.1f} MB")


if __name__ == "__main__":
    chosen = tyro.cli(Options, description=__doc__)
    report = measure(chosen)
    print(json.dumps(report)) if chosen.json else show(report)
