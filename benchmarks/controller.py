"""Does one run with `trainer.controller=l0` end on its target?

python -m benchmarks.controller --minutes 4      again and again, until it says that all is done

Real activations (all-MiniLM-L6-v2, layer 3). Targets 1 %, 5 % and 32 latents, at each width, for
standard, gated and jumprelu, started from the prior and from ten times the alpha that the first
run froze, up and down. Each run from the prior is repeated at its frozen alpha, without a
controller.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from benchmarks.demo import HELD_OUT_TOKENS, demo_store
from benchmarks.markdown import table, write_result
from benchmarks.piecewise import UNFINISHED, OutOfTimeError, Piecewise
from sae.activations import ActivationStore
from sae.architectures.config import Architecture, SaeConfig
from sae.trainer_config import Controller, TrainerConfig
from sae.training import TrainingRequest
from sweeper.prior_components import prior_components
from sweeper.search.prior import heaviest
from sweeper.settings import Settings

LAYER = 3
TARGETS = (0.01, 0.05, 32.0)
ARCHITECTURES = (Architecture.standard, Architecture.gated, Architecture.jumprelu)
BAND = math.log(1.05)
RERUN_BAND = math.log(1.1)
FVU_LIMIT = 1.03
STARTS = {"prior": 1.0, "ten times too high": 10.0, "ten times too low": 0.1}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One architecture, width and target."""

    architecture: Architecture
    """What is trained."""
    width: int
    """latent_dim."""
    target: float
    """Below 1 a fraction of the width, from 1 on a count."""

    @property
    def name(self) -> str:
        """As a key."""
        return f"{self.architecture.value} {self.width} {self.target:g}"


class Runs:
    """The runs of every case, trained when asked for."""

    def __init__(self, store: ActivationStore, work: Piecewise, trainer: TrainerConfig) -> None:
        self.store = store
        self.work = work
        self.trainer = trainer

    def prior_alpha(self, case: Case) -> float:
        """What the sweep would start from."""
        sae = SaeConfig(architecture=case.architecture, latent_dim=case.width)
        settings = Settings(sae=sae, trainer=self.trainer, target_l0=case.target)
        return math.exp(heaviest(prior_components(settings, self.store)).mean)

    def controlled(self, case: Case, start: str) -> dict[str, Any]:
        """A run with the controller; ten times off is off the alpha that the first one froze."""
        if start == "prior":
            alpha = self.prior_alpha(case)
        else:
            alpha = STARTS[start] * self.controlled(case, "prior")["alpha_canonical"]
        trainer = replace(self.trainer, controller=Controller.l0)
        return self._train(case, f"{start}", alpha, trainer)

    def rerun(self, case: Case) -> dict[str, Any]:
        """A run without the controller at the alpha that it froze from the prior."""
        alpha = self.controlled(case, "prior")["alpha_canonical"]
        return self._train(case, "rerun", alpha, self.trainer)

    def _train(
        self, case: Case, kind: str, alpha: float, trainer: TrainerConfig
    ) -> dict[str, Any]:
        request = TrainingRequest(
            sae=SaeConfig(architecture=case.architecture, latent_dim=case.width),
            trainer=trainer,
            alpha_canonical=alpha,
            target_l0_count=case.target * case.width if case.target < 1 else case.target,
            device="cpu",
        )
        return self.work.train(self.key(case, kind), request, self.store)

    def key(self, case: Case, kind: str) -> str:
        """Of a run's row."""
        return f"{case.name} {kind} {self.trainer.total_steps}x{self.trainer.batch_size}"


def main() -> int:
    """Runs what is not yet run; returns the exit status."""
    options = _options(sys.argv[1:])
    cases = [
        Case(architecture=Architecture(architecture), width=width, target=target)
        for width in options.widths
        for target in TARGETS
        for architecture in options.architectures
    ]
    trainer = TrainerConfig(
        total_steps=options.steps,
        batch_size=options.batch_size,
        held_out_tokens=HELD_OUT_TOKENS,
    )
    runs = Runs(demo_store(LAYER), Piecewise("controller", options.minutes), trainer)
    try:
        for case in cases:
            runs.controlled(case, "prior")
        for case in cases:
            for start in list(STARTS)[1:]:
                runs.controlled(case, start)
        for case in cases:
            runs.rerun(case)
        is_finished = True
    except OutOfTimeError:
        is_finished = False
    _report(cases, runs, is_finished)
    return 0 if is_finished else UNFINISHED


def _error(row: Mapping[str, Any] | None, case: Case) -> float | None:
    """ln(L0 / target) of a run; infinite where it did not end, None where it has not been run."""
    if row is None:
        return None
    target = case.target * case.width if case.target < 1 else case.target
    return math.log(row["l0"] / target) if row["l0"] else math.inf


def _report(cases: Sequence[Case], runs: Runs, is_finished: bool) -> None:
    rows, counts = [], {name: [0, 0] for name in (*STARTS, "rerun")}
    fvu_ratios: list[float] = []
    for case in cases:
        found = {name: runs.work.rows.get(runs.key(case, name)) for name in counts}
        errors = {name: _error(row, case) for name, row in found.items()}
        first, rerun = found["prior"], found["rerun"]
        repeated = None
        if first is not None and rerun is not None and rerun["l0"] and first["l0"]:
            repeated = math.log(first["l0"] / rerun["l0"])
            fvu_ratios.append(first["fvu"] / rerun["fvu"])
        errors["rerun"] = repeated
        for name, error in errors.items():
            if error is not None:
                band = RERUN_BAND if name == "rerun" else BAND
                counts[name][0] += abs(error) <= band
                counts[name][1] += 1
        rows.append(
            [
                case.architecture.value,
                str(case.width),
                f"{case.target:g}",
                *(_percent(errors[name]) for name in counts),
            ]
        )
    header = ["architecture", "width", "target", *STARTS, "against its rerun"]
    body = table(header, rows) + "\n\n" + "\n".join(_summary(counts, fvu_ratios))
    recipe = f"{runs.trainer.total_steps} steps of {runs.trainer.batch_size} tokens"
    body = f"{recipe}, L0 against its target.\n\n{body}"
    print(body)
    if is_finished:
        print(f"\nwritten to {write_result('controller', 'Controlled L0', body)}")


def _summary(counts: Mapping[str, Sequence[int]], fvu_ratios: Sequence[float]) -> Iterator[str]:
    for name, (good, total) in counts.items():
        within = "within 10 % of its rerun" if name == "rerun" else "within 5 % of the target"
        yield f"* {name}: {good} of {total} {within}"
    if fvu_ratios:
        yield (
            f"* fvu against the rerun's: median {median(fvu_ratios):.3f} times, "
            f"at most {max(fvu_ratios):.3f} (limit {FVU_LIMIT})"
        )


def _percent(error: float | None) -> str:
    if error is None:
        return "not run"
    return "did not end" if math.isinf(error) else f"{100 * math.expm1(error):+.1f} %"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=math.inf, help="end this piece after")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--widths", type=int, nargs="+", default=[1024, 4096])
    names = [architecture.value for architecture in ARCHITECTURES]
    parser.add_argument("--architectures", nargs="+", choices=names, default=names)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
