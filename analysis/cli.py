"""The command line `sae-analysis`: each command prints its answer first, or JSON."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from analysis.errors import AnalysisError

# Fits and figures take most of a second to import; `--help` and `status` need neither, so each
# command imports what it uses.

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="--version says which this is.",
    help="From trials to the L1 alpha that gives a target L0, and how sure it is.",
)
# Typer exports this class's child only; it carries the exit status 2 and a one-line message.
_USAGE_ERROR = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])
_INTERRUPTED = 130  # typer's answer to Ctrl-C within a command

Source = Annotated[
    str,
    typer.Argument(help="A study's folder, its storage's URL or journal, a CSV or Parquet file."),
]
StudyName = Annotated[str | None, typer.Option(help="Which sweep, where a storage holds several.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
By = Annotated[
    list[str] | None,
    typer.Option(help="A further column whose runs are not mixed; may be repeated."),
]
Where = Annotated[
    list[str] | None,
    typer.Option(help="column=value: only these trials, such as layer=5; may be repeated."),
]
TargetL0 = Annotated[
    float | None,
    typer.Option(help="Below 1 a fraction of the latents, else a count. [default: the trials']"),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        help="In band: L0 within this share of the target. [default: the study's own, else 0.05]"
    ),
]


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line.

    Args:
        arguments: Without the program's name; those of the process by default.

    Returns:
        The exit status: 0, or 2 after one line on standard error, or 1 if the reader of a pipe
        went away.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    try:
        status = app(args=arguments, prog_name="sae-analysis", standalone_mode=False)
        sys.stdout.flush()
    except _USAGE_ERROR as error:
        return _fail(f"{_sentence(error)} See {_command_of(error)} --help.")
    except AnalysisError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The interpreter would flush standard output once more and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(_refusal(error))
    if status == _INTERRUPTED:
        raise KeyboardInterrupt
    return 0


def _refusal(error: OSError) -> str:
    """The line for what the operating system refuses."""
    if error.filename is None:
        return str(error)
    place, reason = error.filename, error.strerror
    return f"{place} must be a place that can be read and written, but got: {reason}."


def _command_of(error: typer.BadParameter) -> str:
    """The command whose help says how it is called."""
    return "sae-analysis" if error.ctx is None else error.ctx.command_path


def _sentence(error: typer.BadParameter) -> str:
    """What is wrong with the command line, with the value where an option's is not to be read."""
    message = error.format_message()
    # typer's words leave out the value, which the validation that they are from knows.
    known = getattr(error.__cause__, "errors", list[dict[str, str]])()
    if known:
        message = f"{message.rstrip('.')}, but got {known[0]['input']!r}"
    return message if message.endswith((".", "?")) else f"{message}."


def _fail(message: str) -> int:
    typer.echo(" ".join(message.split()), err=True)
    return 2


@app.command()
def trials(
    source: Source,
    study_name: StudyName = None,
    as_json: Json = False,
    csv: Annotated[Path | None, typer.Option(help="Also write the table to this file.")] = None,
) -> None:
    """Lists every trial."""
    from analysis import console, summaries
    from analysis.files import write_atomically
    from analysis.trials import load_trials

    table = load_trials(source, study_name=study_name)
    if csv is not None:
        write_atomically(csv, table.to_csv(index=False, lineterminator="\n").encode())
    if as_json:
        notes, problems = table.attrs["notes"], table.attrs["problems"]
        rows = console.records_of(table)
        console.print_json({"trials": rows, "notes": notes, "problems": problems})
        return
    console.print_answer(summaries.trials_answer(table))
    console.print_table(summaries.trials_table(table))
    console.print_lines([f"Note: {note}" for note in table.attrs["notes"]])
    console.print_lines(
        [f"Not read: {each['source']}: {each['reason']}" for each in table.attrs["problems"]]
    )


@app.command()
def status(
    study: Annotated[Path, typer.Argument(help="A study's folder.")], as_json: Json = False
) -> None:
    """Shows where a study stands, while it runs."""
    import dataclasses

    from analysis import console, summaries
    from analysis.status import read_status

    found = read_status(study)
    if as_json:
        content = {"counts": found.counts(), **dataclasses.asdict(found)}
        console.print_json(content)
        return
    console.print_answer(found.answer())
    if found.trials:
        console.print_table(summaries.status_table(found))


@app.command()
def refit(
    source: Source,
    target_l0: TargetL0 = None,
    study_name: StudyName = None,
    by: By = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Fits alpha for the target at every width, and its exponent in width."""
    from analysis import console, summaries
    from analysis.along import alpha_along, dividing_columns
    from analysis.refitting import refit as fit_trials
    from analysis.targets import target_of
    from analysis.trials import load_trials
    from analysis.where import keep_where

    table = keep_where(load_trials(source, study_name=study_name), where or ())
    fit = fit_trials(table, target_l0=target_of(table, target_l0), by=by or ())
    compared = [each for name in dividing_columns(fit) for each in alpha_along(fit, name)]
    if as_json:
        console.print_json({**fit.to_json(), "along": [each.to_json() for each in compared]})
        return
    console.print_answer(summaries.refit_answer(fit))
    console.print_table(summaries.refit_table(fit))
    console.print_lines([*summaries.refit_lines(fit), *summaries.along_lines(compared)])


@app.command()
def alpha(  # noqa: PLR0913 - one for each option
    source: Annotated[
        str, typer.Argument(help="A study, a storage's URL, a CSV or Parquet file, or a law.json.")
    ],
    latent_dim: Annotated[int, typer.Option(help="Width of the SAE.")],
    target_l0: Annotated[
        float, typer.Option(help="Below 1 a fraction of the latents, else a count.")
    ],
    steps: Annotated[
        int | None, typer.Option(help="Steps of the planned run. [default: the runs' own]", min=1)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate of the planned run, likewise.")
    ] = None,
    study_name: StudyName = None,
    where: Where = None,
    units: Annotated[
        str, typer.Option("--as", help="Convention to print alpha in, such as saelens.")
    ] = "",
    activations: Annotated[
        Path | None, typer.Option(help="Folder of activations, whose norms --as needs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Prints alpha for one width and target, with its interval."""
    import dataclasses

    from analysis import console, summaries
    from analysis.answer import convert, predict, read_activations

    answer = predict(
        source,
        latent_dim=latent_dim,
        target_l0=target_l0,
        total_steps=steps,
        learning_rate=learning_rate,
        study_name=study_name,
        where=where or (),
    )
    if units:
        data = None if activations is None else read_activations(activations)
        answer = convert(answer, units, data)
    if as_json:
        console.print_json(dataclasses.asdict(answer))
        return
    console.print_answer(summaries.alpha_answer(answer))
    console.print_lines(summaries.alpha_lines(answer))


@app.command()
def report(  # noqa: PLR0913 - one for each option
    source: Source,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write. [default: report, or report_NAME of a file or storage]"
        ),
    ] = None,
    target_l0: TargetL0 = None,
    study_name: StudyName = None,
    by: By = None,
    where: Where = None,
    tolerance: Tolerance = None,
    figures: Annotated[str, typer.Option(help="Formats: svg,pdf,png.")] = "svg",
    watch: Annotated[
        float, typer.Option(help="Write again on changes, looking every so many seconds.", min=0)
    ] = 0,
    as_json: Json = False,
) -> None:
    """Writes a report: one self-contained page, tables as CSV, figures."""
    import shlex
    from functools import partial

    from analysis import console, summaries
    from analysis.formatting import exact
    from analysis.refitting import refit as fit_trials
    from analysis.report import write_report
    from analysis.sources import folder_of, is_url, name_of, redacted, report_of
    from analysis.targets import target_of
    from analysis.tolerance import tolerance_of
    from analysis.trials import load_trials
    from analysis.watching import watch as keep_watching
    from analysis.where import keep_where

    def make(refresh_s: float | None = None) -> None:
        table = keep_where(load_trials(source, study_name=study_name), where or ())
        fit = fit_trials(table, target_l0=target_of(table, target_l0), by=by or ())
        page = write_report(
            table,
            fit,
            output or report_of(source, study_name),
            title=study_name or name_of(source),
            command=shlex.join(
                [
                    *("sae-analysis", "report", redacted(source)),
                    *("--target-l0", exact(fit.target_l0)),
                    *([] if study_name is None else ["--study-name", study_name]),
                    *(text for name in by or () for text in ("--by", name)),
                    *(text for each in where or () for text in ("--where", each)),
                    *([] if tolerance is None else ["--tolerance", exact(tolerance)]),
                ]
            ),
            tolerance=tolerance_of(source, table, tolerance),
            study=None if is_url(source) else folder_of(source),
            formats=[each.strip() for each in figures.split(",")],
            refresh_s=refresh_s,
        )
        if as_json:
            console.print_json({"report": str(page), "refit": fit.to_json()})
            return
        console.print_answer(str(page))
        notes = [f"Note: {note}" for note in table.attrs["notes"]]
        console.print_lines([summaries.refit_answer(fit), *notes])

    if watch:
        keep_watching(
            source, partial(make, watch), lambda line: typer.echo(line, err=True), every_s=watch
        )
    make()  # after watching once more: the last page does not refresh itself


@app.command()
def compare(
    sources: Annotated[
        list[str], typer.Argument(help="Studies' folders, storages, CSV or Parquet files.")
    ],
    target_l0: Annotated[
        float, typer.Option(help="Below 1 a fraction of the latents, else a count.")
    ],
    output: Annotated[
        list[Path] | None,
        typer.Option(help="Also write the cells: .csv, .parquet, .md or .tex; may be repeated."),
    ] = None,
    study_name: Annotated[
        list[str] | None,
        typer.Option(help="Which sweep of storages that hold several: once, or for each source."),
    ] = None,
    tolerance: Tolerance = None,
    as_json: Json = False,
) -> None:
    """Joins studies cell by cell: alpha, trials and compute, best run, Pareto fronts."""
    from analysis import console, summaries
    from analysis.comparing import compare_studies
    from analysis.table_files import write_table

    compared = compare_studies(sources, target_l0, study_name or (), tolerance=tolerance)
    for path in output or []:
        write_table(compared.cells, path)
    if as_json:
        content = {
            name: console.records_of(getattr(compared, name)) for name in ("cells", "fronts")
        }
        console.print_json({"target_l0": target_l0, **content, "notes": list(compared.notes)})
        return
    console.print_answer(summaries.compare_answer(compared))
    console.print_table(summaries.compare_table(compared))
    console.print_lines(summaries.compare_lines(compared))


@app.command()
def audit(
    jobs: Annotated[
        Path | None,
        typer.Option(help="The guide's jobs, CSV or Parquet. [default: the packaged ones]"),
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Trials to hold beside the guide, as for refit.")
    ] = None,
    target_l0: TargetL0 = None,
    study_name: StudyName = None,
    as_json: Json = False,
) -> None:
    """Recomputes the guide's claims from the guide's own data, and from a study's."""
    import dataclasses

    from analysis import console, summaries
    from analysis.audit import PACKAGED_JOBS
    from analysis.audit import audit as audit_guide
    from analysis.audit.beside import beside
    from analysis.refitting import refit as fit_trials
    from analysis.targets import target_of
    from analysis.trials import load_trials

    result = audit_guide(jobs or PACKAGED_JOBS)
    found = ()
    if study is not None:
        table = load_trials(study, study_name=study_name)
        found = beside(table, fit_trials(table, target_l0=target_of(table, target_l0)))
    if as_json:
        measured = [dataclasses.asdict(each) for each in found]
        console.print_json({**result.to_json(), "study": measured})
        return
    console.print_answer(result.answer())
    console.print_lines(summaries.beside_lines(found))
    console.print_lines(summaries.audit_lines(result))
