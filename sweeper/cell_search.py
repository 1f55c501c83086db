"""What the search knows of each cell: its activations, its prior, and everything run so far."""

import math
from collections.abc import Mapping, Sequence

from optuna.distributions import FloatDistribution

from analysis.units import canonical_factor
from sae.activations import ActivationsConfig, ActivationStore, open_activations
from sae.activations.outliers import outlier_warning
from sae.recipe import warmup_warnings
from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell, batch_sizes, of_group, search_seed
from sweeper.contradictions import SEEDS_OF_OPTUNA
from sweeper.distributions import Value
from sweeper.errors import SweepError
from sweeper.evidence import KnownObservations, observations
from sweeper.job import activation_scale
from sweeper.kin import are_kin
from sweeper.prior_components import describe_law, own_rule, prior_components
from sweeper.progress import cell_state
from sweeper.samplers import make_seeded_sampler
from sweeper.search.observations import Pending, seen_with
from sweeper.search.prior import PriorComponent, heaviest
from sweeper.search.sampler import LawSampler, Problem
from sweeper.search.transfer import Recipe, Transfer, at_recipe, is_near, transfer
from sweeper.settings import Settings, to_plain
from sweeper.space import SearchSpace
from sweeper.trial_book import TrialBook
from sweeper.warm_start import load_warm_start

DECADES = 3
"""How far from the prior alpha may be searched, either way, unless the user gives bounds."""


class CellSearch:
    """Opens the activations of all cells, and answers what a cell's search starts from.

    Args:
        cells: All cells of the sweep.
        space: Gives the bounds of alpha, where the user did.

    Raises:
        SaeError: Activations cannot be opened, or are fewer than a batch.
        SweepError, AnalysisError: An earlier study, or a law file, cannot start this one, or
            Optuna's sampler cannot be made as asked.
    """

    def __init__(self, cells: Sequence[Cell], space: SearchSpace) -> None:
        self._cells = cells
        self._space = space
        self._book: TrialBook | None = None
        self._known: KnownObservations = {}
        self._stores: dict[ActivationsConfig, ActivationStore] = {}
        # An option that it does not take is told before anything is opened or made.
        self.sampler(cells[0])
        for cell in cells:
            config = cell.settings.activations
            if config not in self._stores:
                self._stores[config] = open_activations(config)
        self._require_batch_sizes()
        for cell in cells:
            # A law file may be amiss, and the answer of a given alpha asks for it too.
            if not cell.settings.sae.architecture.sets_l0:
                prior_components(cell.settings, self.store(cell))
        self._warm_start = load_warm_start(cells[0].settings.sweep.warm_start)
        if self._warm_start is not None:
            for cell in self._where_alpha_is_searched():
                self._warm_start.check(cell.settings, self.store(cell))

    def _require_batch_sizes(self) -> None:
        """A trainer of one's own may read another key, or none."""
        for cell in self._cells:
            if cell.settings.sweep.train is None:
                for batch_size in batch_sizes(cell, self._space):
                    self.store(cell).require_batch_size(batch_size)

    def _where_alpha_is_searched(self) -> list[Cell]:
        given = self._space.alpha_grid
        return [cell for cell in self._cells if cell.settings.leaves_alpha_open and not given]

    def store(self, cell: Cell) -> ActivationStore:
        """The cell's activations."""
        return self._stores[cell.settings.activations]

    def data_fingerprint(self, cell: Cell) -> str:
        """What identifies a cell's data."""
        return self.store(cell).fingerprint

    def read_from(self, book: TrialBook, cells: Sequence[Cell]) -> None:
        """Says where the trials are kept; needed before anything is proposed.

        Args:
            book: Of the study.
            cells: As before, with what the study's other cells are to them.
        """
        self._book, self._cells = book, cells

    def sampler(self, cell: Cell) -> LawSampler:
        """The Optuna sampler of a cell."""
        sweep = cell.settings.sweep
        # A list of seeds is for training too, which takes larger ones than Optuna.
        seed = search_seed(cell, self._space) % SEEDS_OF_OPTUNA
        return LawSampler(
            problem=lambda params: self.problem(cell, params),
            others=make_seeded_sampler(
                sweep.sampler, sweep.sampler_options, self._space.searched, seed
            ),
        )

    def problem(self, cell: Cell, params: Mapping[str, Value] | None = None) -> Problem:
        """All that the cell's next proposal rests on, at this moment.

        Args:
            cell: The cell.
            params: The searched keys of the trial to come, alpha aside.
        """
        params = params or {}
        settings = cell.candidate(params)
        if self._book is None:
            raise SweepError(
                f"{cell.name} must have a trial book before it proposes, but has none."
            )
        trials = self._book.known_trials()
        own = [trial for trial in trials if trial.cell in self._group(cell)]
        factor = self.canonical_factor(cell)
        recipe = self._recipe(cell, settings)
        learnt = self._learnt_elsewhere(cell, settings, trials, params)
        earlier = self._learnt_earlier(cell, settings, recipe)
        told = [found for found in (learnt, earlier) if found is not None]
        components = prior_components(
            settings, self.store(cell), [found.component for found in told]
        )
        by_rule = recipe.rule.shape(
            heaviest(components).mean, settings.sae.latent_dim, recipe.exposure
        )
        return Problem(
            components=components,
            target=cell.target_count,
            tolerance=cell.settings.sweep.tolerance,
            latent_dim=cell.settings.sae.latent_dim,
            observations=[
                seen_with(at_recipe(found, recipe), search_seed(cell, self._space))
                for found in observations(own, cell.target_count, params, self._known)
                if is_near(found, recipe)
            ],
            pending=[
                Pending(
                    ln_alpha=math.log(trial.l1_alpha / factor),
                    latent_dim=cell.settings.sae.latent_dim,
                )
                for trial in own
                if trial.is_running and trial.l1_alpha > 0 and trial.params == params
            ],
            canonical_factor=factor,
            shape=told[0].shape if told else by_rule,
            bracketing=not params and cell_state(cell, own).landed is not None,
        )

    def first_components(self, cell: Cell) -> list[PriorComponent]:
        """What is expected of a cell's alpha before the study has a trial."""
        settings = cell.settings
        earlier = self._learnt_earlier(cell, settings, self._recipe(cell, settings))
        learnt = [] if earlier is None else [earlier.component]
        return prior_components(settings, self.store(cell), learnt)

    def chance_next_lands(self, cell: Cell, trial: BookedTrial) -> float:
        """Probability that another seed of a trial's run ends in band."""
        return self.problem(cell, trial.params).chance_next_lands(trial.l1_alpha)

    def _recipe(self, cell: Cell, settings: Settings) -> Recipe:
        return Recipe(
            d_in=self.store(cell).d_in,
            learning_rate=settings.trainer.learning_rate,
            total_steps=settings.trainer.total_steps,
            rule=own_rule(settings, self.store(cell)),
        )

    def _learnt_elsewhere(
        self,
        cell: Cell,
        settings: Settings,
        trials: Sequence[BookedTrial],
        params: Mapping[str, Value],
    ) -> Transfer | None:
        """What other widths and budgets say about this one, and its own runs of other budgets."""
        group, recipe = self._group(cell), self._recipe(cell, settings)
        plain = to_plain(cell.settings)
        named = {each.name for each in self._cells if are_kin(plain, to_plain(each.settings))}
        kin = named | cell.earlier_kin
        elsewhere = [trial for trial in trials if trial.cell in kin - group]
        own = [trial for trial in trials if trial.cell in group]
        return transfer(
            [
                *observations(elsewhere, params=params, known=self._known),
                *(
                    found
                    for found in observations(own, params=params, known=self._known)
                    if not is_near(found, recipe)
                ),
            ],
            target_l0=settings.target_l0,
            latent_dim=settings.sae.latent_dim,
            recipe=recipe,
        )

    def _learnt_earlier(self, cell: Cell, settings: Settings, recipe: Recipe) -> Transfer | None:
        """What an earlier study says about this one."""
        if self._warm_start is None:
            return None
        return self._warm_start.transfer_to(settings, self.store(cell), recipe)

    def notes(self) -> list[str]:
        """What is to be said before the first trial."""
        searched = self._where_alpha_is_searched()
        summaries = [f"activations: {self.store(cell).summary}" for cell in self._cells]
        lines: list[str | None] = [*summaries, *self.data_warnings()]
        for cell in self._cells:
            if cell.settings.sweep.train is None:
                lines += warmup_warnings(cell.settings.trainer)
        lines += [describe_law(cell.settings, self.store(cell)) for cell in searched]
        if self._warm_start is not None:
            lines += [self._warm_start.describe(c.settings, self.store(c)) for c in searched]
        return list(dict.fromkeys(line for line in lines if line is not None))

    def data_warnings(self) -> list[str]:
        """What makes an answer doubtful whatever the runs come to: few rows that outweigh all."""
        warnings = [outlier_warning(store) for store in self._stores.values()]
        return list(dict.fromkeys(line for line in warnings if line is not None))

    def canonical_factor(self, cell: Cell) -> float:
        """`l1_alpha` in the user's units over alpha in canonical units."""
        return canonical_factor(
            cell.settings.objective,
            activation_scale(self.store(cell)),
            cell.settings.sae.latent_dim,
            penalty=cell.settings.sae.penalty,
        )

    def distribution(self, cell: Cell) -> FloatDistribution:
        """Where the cell's `l1_alpha` is searched, in the user's units."""
        if self._space.alpha_bounds is not None:
            low, high = self._space.alpha_bounds
        else:
            component = heaviest(prior_components(cell.settings, self.store(cell)))
            centre = math.exp(component.mean) * self.canonical_factor(cell)
            low, high = centre / 10**DECADES, centre * 10**DECADES
        return FloatDistribution(low, high, log=True)

    def _group(self, cell: Cell) -> set[str]:
        return of_group(cell, self._cells)
