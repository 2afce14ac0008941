"""Which room may import which, what the import of the package loads, and what it offers."""

import ast
import pathlib
import subprocess
import sys

import jaxvae

ROOT = pathlib.Path(jaxvae.__file__).parent
LAYERS = {
    "_typing": 0, "_checks": 0, "_compilation": 0, "_without_tensorflow": 0,
    "nn": 1, "likelihoods": 1, "flows": 1,
    "labels": 2, "encoders": 2, "decoders": 2, "pixelcnn": 2, "posteriors": 2, "priors": 2, "model": 2,
    "objectives": 3, "estimators": 3,
    "data": 4, "train": 4, "evaluate": 4, "latents": 4, "writers": 4, "plots": 4,
    "config": 5, "presets": 5, "build": 5, "interrupts": 5, "runs": 5, "pictures": 5, "report": 5,
    "explore": 5, "cli": 5, "__main__": 5, "__init__": 6, "tutorial": 6,
}  # fmt: skip
CALLABLES_AND_ARRAYS_ONLY = ("objectives", "estimators")
NEVER = {"train": ("data", "config"), "plots": ("model", "nn", "encoders", "decoders", "train")}
DISTRAX_ROOMS = (
    "_without_tensorflow",
    "flows",
    "likelihoods",
    "pixelcnn",
    "posteriors",
    "priors",
    "model",
    "latents",
)


def imports():
    """(room, imported module) for every import in the package, those inside functions too."""
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((room, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module == "jaxvae":
                yield from ((room, f"jaxvae.{alias.name}") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield room, node.module


def edges():
    for room, module in imports():
        if module.startswith("jaxvae."):
            target = module.split(".")[1]
            if target != room:
                yield room, target


def test_every_room_has_a_layer():
    rooms = {path.stem if path.is_file() else path.name for path in ROOT.iterdir()}
    rooms = {room for room in rooms if (ROOT / room).is_dir() or (ROOT / f"{room}.py").is_file()}
    assert rooms - {"__pycache__"} == set(LAYERS)


def test_no_room_imports_a_higher_one():
    found = set(edges())
    assert len(found) > 30
    wrong = [f"{a} -> {b}" for a, b in found if LAYERS[b] > LAYERS[a]]
    wrong += [f"{a} -> {b}" for a, b in found if a in CALLABLES_AND_ARRAYS_ONLY and LAYERS[b] > 0]
    wrong += [f"{a} -> {b}" for a, b in found if b in NEVER.get(a, ())]
    assert wrong == []


def test_rooms_do_not_import_in_a_circle():
    remaining = {room: {b for a, b in edges() if a == room} for room in LAYERS}
    while ready := [room for room, targets in remaining.items() if not targets & remaining.keys()]:
        for room in ready:
            del remaining[room]
    assert remaining == {}


def test_distrax_stays_where_distributions_are_made():
    rooms = {room for room, module in imports() if module.split(".")[0] == "distrax"}
    assert rooms == set(DISTRAX_ROOMS)


def test_import_loads_nothing_that_only_some_need():
    loaded = "{name.split('.')[0] for name in sys.modules}"
    code = f"import sys, jaxvae; print(*{loaded}); import jaxvae.cli; print(*{loaded})"
    lines = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    package, commands = (set(line.split()) for line in lines)
    assert "equinox" in package
    assert "tyro" in commands
    page = {"flask", "werkzeug", "waitress"}
    heavy = {"tensorflow", "matplotlib", "sklearn", "orbax", "tensorboardX", "PIL", "scipy.io", "grain"}
    assert not (heavy | page) & package
    assert not page & commands


def test_the_public_names_are_there_and_documented():
    names = [
        "VAE", "log_weight", "log_joint", "elbo", "iwae", "importance_log_likelihood", "make_train_step",
        "make_evaluator", "train", "load_run", "load_dataset", "encoders", "decoders", "posteriors", "priors",
        "likelihoods", "estimators", "presets", "make_log_weight", "reconstruct", "generate", "init_state",
        "flows", "annealed_log_likelihood", "bidirectional_gap", "noise_space", "simulate", "dreg",
        "make_path_weight", "Dataset",
    ]  # fmt: skip
    for name in names:
        assert getattr(jaxvae, name).__doc__, name
