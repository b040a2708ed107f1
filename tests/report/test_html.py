"""One page that needs nothing else, that anyone can read, and that no name can break."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

import matplotlib as mpl
import pytest

from mobilevit_deploy.report import html
from mobilevit_deploy.report.data import Report

VOID = {"meta", "link", "br", "img", "hr"}


class Page(HTMLParser):
    """What is on the page: its elements, ids and text. Fails on tags that are not closed in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_everything_that_was_found_is_on_the_page(report: Report) -> None:
    text = Page(html.render(report)).text
    for expected in (
        "3 of 3 artifacts equal the reference",
        "fast fp32",
        "an interpreter is no runtime.",
        "2.00\N{MULTIPLICATION SIGN}",
        "Scale its shorter edge to 36 px",
        "Example 9000",
        "saturated noise",
    ):
        assert expected in text


def test_every_device_is_on_the_page(everywhere: Report) -> None:
    text = Page(html.render(everywhere)).text
    for expected in (
        "2 of 2 artifacts equal the reference, 1 of them not on every device",
        "Not right",
        "adb:R58M (adb shell), Maker Phone 7, 1 thread on big cores",
        "proven there by clock 1.0 for arm64",
        "as at the export by clock 1.0",
        "Not timed: It is not right on adb:R58M",
        "Timed on host",
        "Timed on adb:R58M (adb shell)",
        "2 big up to 2.85 GHz",
        "80% → 55%",
        "no latency: there are no caches and no pipeline",
        "910.4",
        "left out, for no fair time was measured",
    ):
        assert expected in text


def test_columns_without_figures_are_left_out(report: Report, everywhere: Report) -> None:
    found = (Page(html.render(each)).text for each in (report, everywhere))
    for text, shown in zip(found, (False, True), strict=True):
        assert ("Preprocess" in text) is shown
        assert ("MB, peak" in text) is shown
        assert ("Emulated ARM" in text) is shown


def test_the_page_needs_no_network_and_runs_no_script(report: Report) -> None:
    source = html.render(report)
    page = Page(source)
    assert not page.all("script")
    assert "default-src 'none'" in source
    links = [
        value
        for _, attributes in page.elements
        for key, value in attributes.items()
        if key in {"src", "href"}
    ]
    assert links == ["data:,"]
    assert all(used.startswith("#") for used in re.findall(r"url\(([^)]*)\)", source))


def test_it_can_be_read_aloud(report: Report) -> None:
    page = Page(html.render(report))
    assert page.all("html")[0]["lang"] == "en"
    assert all(attributes.get("scope") for attributes in page.all("th"))
    ids = {attributes.get("id") for _, attributes in page.elements}
    drawings = page.all("svg")
    assert len(drawings) == 6
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert set((drawing["aria-labelledby"] or "").split()) <= ids


def test_ids_are_unique_and_references_find_them(report: Report) -> None:
    page = Page(html.render(report))
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert max(ids.values()) == 1
    for _, attributes in page.elements:
        for key in ("xlink:href", "clip-path"):
            if reference := attributes.get(key):
                assert re.sub(r"^url\(|\)$", "", reference).removeprefix("#") in ids


def test_plots_take_their_colours_from_the_page(report: Report) -> None:
    source = html.render(report)
    drawings = "".join(re.findall(r"<svg.*?</svg>", source, flags=re.DOTALL))
    colours = set(re.findall(r"(?:fill|stroke): *([^;\"]+)", drawings))
    assert not {colour for colour in colours if colour.startswith("#")}
    defined = set(re.findall(r"(--[\w-]+):", source))
    assert set(re.findall(r"var\((--[\w-]+)\)", source)) <= defined


def test_names_cannot_become_markup(nasty: Report) -> None:
    source = html.render(nasty)
    assert not Page(source).all("b")
    assert "<b>" not in source
    assert "&lt;b&gt;" in source


def test_a_failure_is_told_at_the_top(nasty: Report) -> None:
    text = Page(html.render(nasty)).text
    assert text.index("0 of 1 artifact equals") < text.index("Not right") < text.index("Artifacts")


def test_without_measurements_the_page_says_how_to_make_some(unmeasured: Report) -> None:
    page = Page(html.render(unmeasured))
    assert "mobilevit-deploy bench" in page.text
    assert len(page.all("svg")) == 2


def test_the_same_report_gives_the_same_page(report: Report) -> None:
    assert html.render(report) == html.render(report)


def test_matplotlibs_settings_are_left_as_they_were(report: Report) -> None:
    with mpl.rc_context({"font.size": 33}):
        before = dict(mpl.rcParams)
        html.render(report)
        assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("error", [0.0, float("nan"), float("inf")])
def test_errors_without_a_logarithm_do_not_break_the_plot(unmeasured: Report, error: float) -> None:
    row = unmeasured.rows[0]
    output = row.manifest.parity.outputs[0]
    cases = tuple(case.model_copy(update={"max_error": error}) for case in output.cases)
    parity = row.manifest.parity.model_copy(
        update={"outputs": (output.model_copy(update={"cases": cases, "max_error": error}),)}
    )
    broken = row.model_copy(update={"manifest": row.manifest.model_copy(update={"parity": parity})})
    assert "<svg" in html.render(unmeasured.model_copy(update={"rows": (broken,)}))
