import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from analysis import formatting as show
from analysis.errors import AnalysisError
from analysis.refitting import refit
from analysis.report import write_report
from analysis.trials import load_trials

MakeTrials = Callable[..., pd.DataFrame]

EVIL = "<script>alert('x')</script>\"'&{{ 7 * 7 }}$x$"


def page_of(trials: pd.DataFrame, folder: Path, target_l0: float = 64, title: str = "demo") -> str:
    fit = refit(trials, target_l0=target_l0)
    return write_report(trials, fit, folder, title=title, command="make report").read_text()


@pytest.fixture(name="minilm_page", scope="module")
def fixture_minilm_page(
    minilm: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("report")
    return page_of(minilm, folder), folder


class Checker(HTMLParser):
    """Collects what must not be in a page, and checks that tags close in order."""

    VOID = frozenset({"meta", "input", "link", "br", "img", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value or "")
            if key in ("src", "href", "xlink:href", "action"):
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return checker


def test_write_report_same_input_gives_the_same_bytes(
    minilm: pd.DataFrame, minilm_page: tuple[str, Path], tmp_path: Path
) -> None:
    page_of(minilm, tmp_path)

    first, second = minilm_page[1], tmp_path
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(
        path.relative_to(second) for path in second.rglob("*") if path.is_file()
    )
    assert all((first / file).read_bytes() == (second / file).read_bytes() for file in files)


def test_write_report_page_needs_nothing_else(minilm_page: tuple[str, Path]) -> None:
    links = checked(minilm_page[0]).links

    assert links
    assert all(link.startswith("#") for link in links)


def test_write_report_page_has_unique_ids_that_links_find(minilm_page: tuple[str, Path]) -> None:
    checker = checked(minilm_page[0])

    assert len(checker.ids) == len(set(checker.ids))
    assert {link[1:] for link in checker.links} <= set(checker.ids)


def test_write_report_answer_comes_before_the_figures(
    minilm_page: tuple[str, Path], minilm: pd.DataFrame
) -> None:
    page = minilm_page[0]

    alphas = re.findall(r'<p class="alpha"><span class="symbol">alpha</span> ([\d.]+)</p>', page)
    widths = refit(minilm, target_l0=64).widths
    assert alphas == [show.number(width.point) for width in widths]
    assert page.index('class="alpha"') < page.index("<figure")
    star = widths[1].alpha_star
    assert star is not None
    assert f"95 % interval {show.interval(star.low, star.high)}" in page
    assert "the guide&#39;s 6.64 is outside the interval" in page


def test_write_report_figures_are_labelled_for_those_who_cannot_see(
    minilm_page: tuple[str, Path],
) -> None:
    labels = re.findall(r'<svg [^>]*aria-label="([^"]+)"', minilm_page[0])

    assert [label.split(". ")[0] for label in labels[:2]] == [
        "L0 against alpha",
        "Alpha against width",
    ]
    assert len(labels) == len(list((minilm_page[1] / "figures").iterdir()))


def test_write_report_every_point_of_the_curve_has_its_title(
    minilm_page: tuple[str, Path],
) -> None:
    svg = (minilm_page[1] / "figures" / "l0-alpha.svg").read_bytes()

    titles = ET.fromstring(svg).findall(".//{http://www.w3.org/2000/svg}use/*")
    assert len(titles) == 20
    assert titles[0].text == "row 0: width 512, alpha 0.500, L0 215, fvu 0.120"


def test_write_report_inline_figures_take_their_colours_from_the_page(
    minilm_page: tuple[str, Path],
) -> None:
    body = minilm_page[0].split("<main>")[1].split("</main>")[0]

    assert re.findall(r"#[0-9a-f]{6}(?![\w-])", body) == []
    assert "fill: var(--s0)" in body


def test_write_report_tables_hold_every_trial_and_width(
    minilm_page: tuple[str, Path], minilm: pd.DataFrame
) -> None:
    tables = minilm_page[1] / "tables"

    trials, widths = pd.read_csv(tables / "trials.csv"), pd.read_csv(tables / "widths.csv")
    assert (len(trials), trials["used"].all()) == (20, True)
    assert widths["latent_dim"].tolist() == [512, 1024, 2048, 4096]
    points = [width.point for width in refit(minilm, target_l0=64).widths]
    assert widths["alpha"].tolist() == points


def test_write_report_trial_table_can_be_read_again(minilm_page: tuple[str, Path]) -> None:
    again = load_trials(minilm_page[1] / "tables" / "trials.csv")

    assert again["l0"].iloc[0] == 214.8498


def test_write_report_texts_from_outside_are_escaped(
    make_trials: MakeTrials, tmp_path: Path
) -> None:
    rows = [(1024, 1.0, 180.0), (1024, 2.0, 82.0), (1024, 4.0, 28.0)]
    trials = make_trials(rows, activations=EVIL, verdict_reasons=EVIL, verdict="warning")

    page = page_of(trials, tmp_path, title=EVIL)

    checked(page)
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(" in page
    assert "{{ 7 * 7 }}$x$" in page


def test_write_report_alphas_over_all_that_a_float_holds_are_drawn_where_a_fit_uses_them(
    make_trials: MakeTrials, tmp_path: Path
) -> None:
    alphas = (5e-324, 1e-30, 1.0, 2.0, 4.0, 1e30, 1e300)
    rows = [(1024, alpha, 800.0 / (place + 1)) for place, alpha in enumerate(alphas)]

    page = page_of(make_trials(rows), tmp_path, target_l0=200)

    assert "not used: alpha is beyond 1e-30 to 1e+30" in page
    svg = (tmp_path / "figures" / "l0-alpha.svg").read_text()
    assert re.findall(r"(?:row|trial) (\d): width", svg) == ["1", "2", "3", "4", "5"]


def test_write_report_refused_numbers_do_not_appear(
    make_trials: MakeTrials, tmp_path: Path
) -> None:
    trials = make_trials([(1024, 2.0, 82.0), (1024, 4.0, 70.0)])

    page = page_of(trials, tmp_path)

    assert "no alpha yet" in page
    assert "95 % interval " not in page.split("<main>")[1].replace("95 % intervals", "")
    assert "target 64 lies outside the runs&#39; L0 (70 to 82)" in page
    assert "Not drawn: no width brackets the target." in page
    assert "No exponent in width: 0 bracketed widths" in page
    assert "Width 1,024 at alpha" in page
    assert pd.read_csv(tmp_path / "tables" / "widths.csv")["alpha"].isna().all()


def test_write_report_two_alphas_show_a_point_without_interval(
    make_trials: MakeTrials, tmp_path: Path
) -> None:
    trials = make_trials([(1024, 2.0, 82.0), (1024, 4.0, 28.0)])

    page = page_of(trials, tmp_path)

    assert "2 alphas: the line through 2 points, 0 d.o.f., has no interval" in page
    assert "hollow points have none" in page


def test_write_report_one_sided_width_is_an_arrow(make_trials: MakeTrials, tmp_path: Path) -> None:
    rows = [(1024, 1.0, 180.0), (1024, 2.0, 82.0), (1024, 4.0, 28.0)]
    sparse, dense = [(2048, 6.0, 30.0), (2048, 8.0, 10.0)], [(4096, 1.0, 400.0)]

    page = page_of(make_trials([*rows, *sparse, *dense]), tmp_path)

    assert "arrows mark widths where alpha lies beyond all runs" in page
    assert "one-sided: alpha for the target lies below all runs" in page


def test_write_report_landed_run_is_the_cards_best(
    make_trials: MakeTrials, tmp_path: Path
) -> None:
    trials = make_trials([(1024, 1.0, 180.0), (1024, 2.3, 65.0), (1024, 4.0, 28.0)])

    page = page_of(trials, tmp_path)

    assert '<span class="badge is-success">1 in band</span>' in page
    assert "best trial 1: alpha 2.30, L0 65.0, fvu -" in page
    assert page.count('<tr class="landed">') == 2  # by width and among the trials


def test_write_report_excluded_runs_are_listed_with_reasons_and_drawn_hollow(
    make_trials: MakeTrials, tmp_path: Path
) -> None:
    rows = [(1024, 1.0, 180.0), (1024, 2.0, 82.0), (1024, 4.0, 28.0), (1024, 3.0, 44.0)]
    trials = make_trials(rows)
    trials.loc[3, "state"] = "pruned"

    page = page_of(trials, tmp_path)

    assert "not used: the trial is not complete" in page
    assert ">not used<" in page
    assert '<tr class="unused">' in page


def test_write_report_several_recipes_are_groups_of_their_own(
    make_trials: MakeTrials, tmp_path: Path
) -> None:
    rows = [(1024, 1.0, 180.0), (1024, 2.0, 82.0), (1024, 4.0, 28.0)]
    longer = make_trials(rows, total_steps=2400)
    trials = pd.concat([make_trials([*rows, (1024, 3.0, 45.0)]), longer], ignore_index=True)

    page = page_of(trials, tmp_path)

    checked(page)
    assert "Group 1 of 2" in page
    assert "Group 2 of 2" in page
    assert (tmp_path / "figures" / "l0-alpha-2.svg").exists()


def test_write_report_fraction_target_is_one_line_for_all_widths(
    minilm: pd.DataFrame, tmp_path: Path
) -> None:
    page = page_of(minilm, tmp_path, target_l0=0.05)

    assert "Which L1 alpha gives 5 % of the latents, at widths 512 to 4,096?" in page
    assert "target 5 % ±5 %" in page


def test_write_report_every_check_is_drawn_or_says_why_not(
    minilm_page: tuple[str, Path],
) -> None:
    page = minilm_page[0]

    drawn = {path.stem for path in (minilm_page[1] / "figures").iterdir()}
    assert {"pareto", "posterior", "collapse", "exponents", "residuals"} <= drawn
    assert "Not drawn: the trials have no numbers, so no order." in page
    assert "Not drawn: no run has a prediction from before it." in page
    assert "Not drawn: there is no study folder with the runs&#39; histories." in page
    assert "not there: no configuration was run with two seeds" in page


def test_write_report_other_formats_are_written_and_the_same_twice(
    minilm: pd.DataFrame, tmp_path: Path
) -> None:
    fit = refit(minilm[minilm["latent_dim"] == 512], target_l0=64)
    trials = minilm[minilm["latent_dim"] == 512]
    for name in ("a", "b"):
        write_report(trials, fit, tmp_path / name, title="x", formats=("pdf", "png"))

    first = sorted(path.name for path in (tmp_path / "a" / "figures").iterdir())
    assert {"l0-alpha.pdf", "l0-alpha.png"} <= set(first)
    assert not any(name.endswith(".svg") for name in first)
    for name in first:
        one, two = (tmp_path / folder / "figures" / name for folder in ("a", "b"))
        assert one.read_bytes() == two.read_bytes()


def test_write_report_unknown_format_is_refused(minilm: pd.DataFrame, tmp_path: Path) -> None:
    fit = refit(minilm, target_l0=64)

    with pytest.raises(AnalysisError, match="figures must be among svg, pdf, png, but got 'gif'"):
        write_report(minilm, fit, tmp_path / "r", title="x", formats=("gif",))

    assert not (tmp_path / "r").exists()


def test_write_report_many_widths_have_no_cards_but_a_table(
    make_trials: MakeTrials, tmp_path: Path
) -> None:
    rows = [
        (256 * step, alpha, 150.0 / alpha**1.5)
        for step in range(1, 12)
        for alpha in (1.0, 2.0, 3.0)
    ]

    page = page_of(make_trials(rows), tmp_path)

    assert '<article class="card">' not in page
    assert "2,816" in page


def test_write_report_alpha_zero_only_draws_no_curve(
    make_trials: MakeTrials, tmp_path: Path
) -> None:
    page = page_of(make_trials([(1024, 0.0, 500.0)]), tmp_path)

    assert "Not drawn: no usable run has an alpha above 0." in page


def test_write_report_of_widths_bracketed_by_two_alphas_each(
    make_trials: MakeTrials, tmp_path: Path
) -> None:
    """Such widths have no elasticity."""
    rows = [(512, 1.0, 80.0), (512, 2.0, 50.0), (1024, 1.0, 90.0), (1024, 2.0, 55.0)]
    assert "alpha / alpha for the target" in page_of(make_trials(rows), tmp_path)


def test_write_report_again_removes_what_only_the_earlier_report_has(
    make_trials: MakeTrials, tmp_path: Path
) -> None:
    rows = [(1024, 1.0, 180.0), (1024, 2.0, 82.0), (1024, 4.0, 28.0)]
    longer = make_trials(rows, total_steps=2400)
    page_of(pd.concat([make_trials(rows), longer], ignore_index=True), tmp_path / "again")
    own = ["figures/pareto-1.svg", "figures/l0-alpha-2.txt", "tables/along-2.csv", "along.csv"]
    for name in own:
        (tmp_path / "again" / name).touch()

    page_of(make_trials(rows), tmp_path / "again")

    page_of(make_trials(rows), tmp_path / "once")
    again, once = (
        {str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*.*")}
        for name in ("again", "once")
    )
    assert again == once | set(own)
