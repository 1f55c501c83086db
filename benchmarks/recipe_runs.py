"""The runs that the default prior's constants are fitted to, and their training.

Layer 3 of the demo's activations over alphas, widths and lengths, with the gradient clipped (the
recipe) and without. Every run is appended to benchmarks/results/recipe_layer3.csv, those of
JumpReLU's tanh penalty to recipe_layer3_tanh.csv beside it.
"""

import csv
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from benchmarks.demo import demo_store
from benchmarks.markdown import RESULTS
from sae.architectures.config import Architecture, JumpReluConfig, JumpReluPenalty, SaeConfig
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest, train

LAYER = 3
REFERENCE_STEPS = 600
LENGTHS = (300, 600, 1200, 2400, 4800)
WIDTHS = (512, 2048, 4096)


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """What is trained to fit one rule."""

    architecture: Architecture
    penalty: JumpReluPenalty = JumpReluPenalty.l0
    """JumpReLU's."""
    alphas: tuple[float, ...]
    """At 600 steps they give from about a tenth to a hundredth of the latents."""
    lengths: tuple[int, ...] = LENGTHS
    """In steps, at width 1024."""
    widths: tuple[int, ...] = WIDTHS
    """At the recipe's length, beside 1024."""
    unclipped: bool = True
    """Whether the recipe without clipping is trained as well."""
    steepness_from: int = min(LENGTHS)
    """Steps of the shortest runs that the steepness is fitted to."""
    runs: Path = RESULTS / "recipe_layer3.csv"
    """Where its runs are kept."""


DESIGNS = {
    "standard": Design(architecture=Architecture.standard, alphas=(0.9, 1.6, 2.8, 5.0)),
    "gated": Design(architecture=Architecture.gated, alphas=(1.2, 2.2, 4.0, 7.2)),
    "jumprelu": Design(architecture=Architecture.jumprelu, alphas=(0.25, 0.6, 1.5, 3.5)),
    "jumprelu, tanh": Design(
        architecture=Architecture.jumprelu,
        penalty=JumpReluPenalty.tanh,
        alphas=(0.35, 0.5, 0.7, 1.0),
        lengths=(300, 600, 1200, 2400),
        widths=(512, 2048),
        unclipped=False,
        steepness_from=REFERENCE_STEPS,
        runs=RESULTS / "recipe_layer3_tanh.csv",
    ),
}
"""By the name that tables show."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training run, as asked for."""

    architecture: str
    latent_dim: int
    total_steps: int
    gradient_clip: float | None
    l1_alpha: float


def planned(design: Design) -> Iterator[Run]:
    """Lengths at width 1024, widths at the recipe's length, and the recipe without clipping."""
    clip = TrainerConfig().gradient_clip
    places = [(1024, length, clip) for length in design.lengths]
    places += [(width, REFERENCE_STEPS, clip) for width in design.widths]
    places += [(1024, REFERENCE_STEPS, None)] if design.unclipped else []
    for latent_dim, total_steps, gradient_clip in places:
        for alpha in design.alphas:
            yield Run(
                architecture=design.architecture.value,
                latent_dim=latent_dim,
                total_steps=total_steps,
                gradient_clip=gradient_clip,
                l1_alpha=round(alpha * (total_steps / REFERENCE_STEPS) ** -0.4, 4),
            )


def train_missing(design: Design) -> None:
    """Trains the planned runs that are not in the file yet."""
    store = demo_store(LAYER)
    done = {_run_of(row) for row in kept_rows(design.runs)}
    for run in planned(design):
        if run in done:
            continue
        started = time.monotonic()
        recipe = TrainerConfig(total_steps=run.total_steps, gradient_clip=run.gradient_clip)
        sae = SaeConfig(
            architecture=design.architecture,
            latent_dim=run.latent_dim,
            jumprelu=JumpReluConfig(penalty=design.penalty),
        )
        request = TrainingRequest(
            sae=sae, trainer=recipe, alpha_canonical=run.l1_alpha, device="cpu"
        )
        with tempfile.TemporaryDirectory() as folder:
            result = train(request, store, Path(folder))
        measured = {
            "learning_rate": recipe.learning_rate,
            "batch_size": recipe.batch_size,
            "d_in": store.d_in,
            "l0": result.l0,
            "fvu": result.fvu,
            "dead_fraction": result.dead_fraction,
        }
        append_run({**asdict(run), **measured}, design.runs)
        seconds = time.monotonic() - started
        print(f"{run} L0 {result.l0:.1f}, fvu {result.fvu:.4f}, {seconds:.0f} s", flush=True)


def kept_runs() -> pd.DataFrame:
    """Every run in the files, with the name of its design in place of the architecture."""
    parts: list[pd.DataFrame] = []
    for name, design in DESIGNS.items():
        if design.runs.exists():
            runs = pd.read_csv(design.runs)
            parts.append(runs[runs.architecture == design.architecture].assign(architecture=name))
    return pd.concat(parts, ignore_index=True)


def kept_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file of runs, none where there is no file yet."""
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _run_of(row: Mapping[str, str]) -> Run:
    return Run(
        architecture=row["architecture"],
        latent_dim=int(row["latent_dim"]),
        total_steps=int(row["total_steps"]),
        gradient_clip=float(row["gradient_clip"]) if row["gradient_clip"] else None,
        l1_alpha=float(row["l1_alpha"]),
    )


def append_run(row: Mapping[str, object], path: Path) -> None:
    """Adds a row to a file of runs, with its header to a new one."""
    is_new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)
