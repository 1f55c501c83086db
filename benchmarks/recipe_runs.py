"""The runs that the default prior's constants are fitted to, and their training.

Layer 3 of the demo's activations over alphas, widths and lengths, with the gradient clipped (the
recipe) and without. Every run is appended to benchmarks/results/recipe_layer3.csv.
"""

import csv
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.demo import demo_store
from benchmarks.markdown import RESULTS
from sae.architectures.config import Architecture, SaeConfig
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest, train

LAYER = 3
RUNS = RESULTS / "recipe_layer3.csv"
REFERENCE_STEPS = 600
ALPHAS = {
    Architecture.standard: (0.9, 1.6, 2.8, 5.0),
    Architecture.gated: (1.2, 2.2, 4.0, 7.2),
    Architecture.jumprelu: (0.25, 0.6, 1.5, 3.5),
}
"""At 600 steps they give from about a tenth to a hundredth of the latents."""
LENGTHS = (300, 600, 1200, 2400, 4800)
WIDTHS = (512, 2048, 4096)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training run, as asked for."""

    architecture: str
    latent_dim: int
    total_steps: int
    gradient_clip: float | None
    l1_alpha: float


def planned(architecture: Architecture) -> Iterator[Run]:
    """Lengths at width 1024, widths at the recipe's length, and the recipe without clipping."""
    clip = TrainerConfig().gradient_clip
    designs = [(1024, length, clip) for length in LENGTHS]
    designs += [(width, REFERENCE_STEPS, clip) for width in WIDTHS]
    designs += [(1024, REFERENCE_STEPS, None)]
    for latent_dim, total_steps, gradient_clip in designs:
        for alpha in ALPHAS[architecture]:
            yield Run(
                architecture=architecture.value,
                latent_dim=latent_dim,
                total_steps=total_steps,
                gradient_clip=gradient_clip,
                l1_alpha=round(alpha * (total_steps / REFERENCE_STEPS) ** -0.4, 4),
            )


def train_missing(architecture: Architecture) -> None:
    """Trains the planned runs that are not in the file yet."""
    store = demo_store(LAYER)
    done = {_run_of(row) for row in _rows()}
    for run in planned(architecture):
        if run in done:
            continue
        started = time.monotonic()
        recipe = TrainerConfig(total_steps=run.total_steps, gradient_clip=run.gradient_clip)
        request = TrainingRequest(
            sae=SaeConfig(architecture=architecture, latent_dim=run.latent_dim),
            trainer=recipe,
            alpha_canonical=run.l1_alpha,
            device="cpu",
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
        _append({**asdict(run), **measured})
        seconds = time.monotonic() - started
        print(f"{run} L0 {result.l0:.1f}, fvu {result.fvu:.4f}, {seconds:.0f} s", flush=True)


def _rows() -> list[dict[str, str]]:
    if not RUNS.exists():
        return []
    with RUNS.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _run_of(row: Mapping[str, str]) -> Run:
    return Run(
        architecture=row["architecture"],
        latent_dim=int(row["latent_dim"]),
        total_steps=int(row["total_steps"]),
        gradient_clip=float(row["gradient_clip"]) if row["gradient_clip"] else None,
        l1_alpha=float(row["l1_alpha"]),
    )


def _append(row: Mapping[str, object]) -> None:
    is_new = not RUNS.exists()
    with RUNS.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)
