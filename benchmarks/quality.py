"""Held-out fvu of every architecture against the peers', at their best learning rate and equal L0.

Both sides see the same canonical batches in the same order. Ours trains with its default recipe;
a peer is tried at several learning rates, and at each its coefficient is moved until its fvu can
be interpolated to our L0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from benchmarks.demo import HELD_OUT_TOKENS, for_raw_rows, held_out
from benchmarks.equal_l0 import Point, fvu_at, reach
from benchmarks.markdown import table
from benchmarks.peers import PeerRun, is_installed, train_dictionary_learning, train_saelens
from sae.activations import ActivationStore
from sae.architectures.config import Architecture, SaeConfig
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest, train

LIMIT = 1.02
"""Our mean fvu may be so many times the peer's."""
PENALTY_ELASTICITY, K_ELASTICITY = -2.0, 1.0
"""d ln L0 / d ln coefficient, to begin with."""
RATE_EXPONENT = -0.45
"""d ln alpha / d ln(learning rate * steps) at equal L0 (measured: data/l0_budget)."""
FIRST_COEFFICIENT = {Architecture.jumprelu: 0.2}
"""Times sqrt(d_in / L0) at rate * steps = 0.6; where a search starts, no claim."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What is compared, and at what cost."""

    latent_dim: int = 2048
    """Width."""
    target: float = 64.0
    """L0 that ours is brought near to; the peer's fvu is taken at our L0, whatever it is."""
    steps: int = 1000
    """Length of every run."""
    seeds: Sequence[int] = (0, 1, 2)
    """Of batches and initial weights."""
    rates: Sequence[float] = (3e-4, 1e-3, 3e-3)
    """The peer's learning rates."""


class Contest:
    """Ours and one peer, one architecture, all seeds."""

    def __init__(
        self, store: ActivationStore, architecture: Architecture, setting: Setting
    ) -> None:
        self.store = store
        self.architecture = architecture
        self.setting = setting
        self.trainer = TrainerConfig(total_steps=setting.steps, held_out_tokens=HELD_OUT_TOKENS)
        self.elasticity = K_ELASTICITY if architecture.sets_l0 else PENALTY_ELASTICITY

    def ours(self) -> list[Point]:
        """One point a seed, its L0 near the target."""
        points: list[Point] = []
        start = self._first_coefficient()
        for seed in self.setting.seeds:

            def train_ours(coefficient: float, seed: int = seed) -> Point:
                return self._shown("ours", seed, self._train(coefficient, seed))

            if points or self.architecture.sets_l0:
                points.append(train_ours(start))
            else:
                points.append(reach(train_ours, start, self.elasticity, self.setting.target)[0])
                start = points[0].coefficient
        return points

    def peer(self, library: str, rate: float, ours: Sequence[Point]) -> float:
        """The peer's mean fvu at our L0, at one learning rate."""
        fvus: list[float] = []
        start = ours[0].coefficient
        if not self.architecture.sets_l0:
            start *= (rate / self.trainer.learning_rate) ** RATE_EXPONENT
        for seed, our_point in zip(self.setting.seeds, ours, strict=True):

            def train_peer(coefficient: float, seed: int = seed) -> Point:
                point = self._train_peer(library, rate, coefficient, seed)
                return self._shown(f"{library} {rate:g}", seed, point)

            points = reach(train_peer, start, self.elasticity, our_point.l0)
            fvus.append(fvu_at(points, our_point.l0))
            start = points[0].coefficient
        return fmean(fvus)

    def _first_coefficient(self) -> float:
        target = self.setting.target
        if self.architecture.sets_l0:
            return target
        budget = self.trainer.learning_rate * self.setting.steps / 0.6
        theory = (self.store.d_in / target) ** 0.5 * budget**RATE_EXPONENT
        return theory * FIRST_COEFFICIENT.get(self.architecture, 1.0)

    def _train(self, coefficient: float, seed: int) -> Point:
        by_target = self.architecture.sets_l0
        request = TrainingRequest(
            sae=SaeConfig(architecture=self.architecture, latent_dim=self.setting.latent_dim),
            trainer=self.trainer,
            alpha_canonical=0.0 if by_target else coefficient,
            target_l0_count=coefficient if by_target else None,
            seed=seed,
            device="cpu",
        )
        with TemporaryDirectory() as folder:
            result = train(request, self.store, Path(folder))
        if result.l0 is None or result.fvu is None:
            raise RuntimeError(f"{self.architecture} did not complete: {result.stop_reason}")
        return Point(coefficient=coefficient, l0=result.l0, fvu=result.fvu)

    def _train_peer(self, library: str, rate: float, coefficient: float, seed: int) -> Point:
        run = PeerRun(
            architecture=self.architecture,
            d_in=self.store.d_in,
            latent_dim=self.setting.latent_dim,
            coefficient=coefficient,
            trainer=replace(self.trainer, learning_rate=rate),
            seed=seed,
        )
        train_with = train_saelens if library == "sae_lens" else train_dictionary_learning
        batch_size = self.trainer.batch_size
        trained = train_with(run, lambda: self.store.train_batches(batch_size, seed))
        l0, fvu = held_out(for_raw_rows(trained, self.store), self.store)
        return Point(coefficient=coefficient, l0=l0, fvu=fvu)

    def _shown(self, who: str, seed: int, point: Point) -> Point:
        print(
            f"{self.architecture}, {who}, seed {seed}, coefficient {point.coefficient:.4g}: "
            f"L0 {point.l0:.2f}, fvu {point.fvu:.4f}",
            flush=True,
        )
        return point


def compare(
    store: ActivationStore, architectures: Sequence[Architecture], setting: Setting
) -> tuple[str, bool]:
    """Trains everything, and prints each run as it ends.

    Returns:
        The table, and whether every ratio is within the limit.
    """
    rows: list[list[str]] = []
    is_good = True
    for architecture in architectures:
        contest = Contest(store, architecture, setting)
        ours = contest.ours()
        our_fvu = fmean(point.fvu for point in ours)
        for library in _libraries(architecture):
            rates = {rate: contest.peer(library, rate, ours) for rate in setting.rates}
            best = min(rates, key=rates.__getitem__)
            ratio = our_fvu / rates[best]
            is_good = is_good and ratio <= LIMIT
            rows.append(
                [
                    architecture,
                    library,
                    f"{fmean(point.l0 for point in ours):.1f}",
                    f"{our_fvu:.4f}",
                    *(f"{fvu:.4f}" for fvu in rates.values()),
                    f"{ratio:.3f} ({'yes' if ratio <= LIMIT else 'NO'})",
                ]
            )
    at_rates = [f"its fvu at {rate:g}" for rate in setting.rates]
    header = ["architecture", "against", "L0", "our fvu", *at_rates, f"ours / best <= {LIMIT}"]
    return table(header, rows), is_good


def _libraries(architecture: Architecture) -> Iterator[str]:
    if is_installed("sae_lens"):
        yield "sae_lens"
    if architecture is Architecture.standard and is_installed("dictionary_learning"):
        yield "dictionary_learning"
