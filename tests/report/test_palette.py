"""Colours: readable on white and on a dark screen, apart for all eyes, and pictures that follow the page."""

import itertools
import re

import matplotlib as mpl
import numpy as np
import pytest

from mdvi.report import palette, plots
from mdvi.report.curves import PANELS, Curve
from mdvi.report.ends import apart
from mdvi.report.palette import AT_NIGHT, BLANK, DASHES, INK, NIGHT, PAPER, SERIES, SOFT, contrast
from mdvi.report.seeds import learning_plot
from mdvi.report.sizes import inches

# What eyes without one kind of cones see, on linear RGB. Source: Machado, Oliveira and Fernandes (2009), severity 1.
EYES = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
FAR = 20  # in CIE Lab; a difference of about 2 can just be seen


def lab(color, eyes):
    """CIE Lab of "#rrggbb" as these eyes see it, under D65."""
    rgb = palette.rgb(color)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    xyz = np.array(to_xyz) @ np.clip(np.array(eyes) @ linear, 0, 1) / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colors, eyes):
    """The distance of the two colours that these eyes find most alike."""
    return min(np.linalg.norm(lab(a, eyes) - lab(b, eyes)) for a, b in itertools.combinations(colors, 2))


@pytest.mark.parametrize("eyes", EYES.values(), ids=EYES)
def test_series_can_be_told_apart_by_all_eyes(eyes):
    assert nearest(SERIES, eyes) >= FAR


def test_the_distance_finds_colours_that_some_eyes_mix_up():
    red_and_green = ("#cc3311", "#527a00")
    assert nearest(red_and_green, EYES["all cones"]) > 60
    assert nearest(red_and_green, EYES["deuteranopia"]) < FAR


def test_lines_have_contrast_and_text_has_more_on_both_pages():
    for color in (*SERIES, palette.ALARM):
        assert min(contrast(color, PAPER), contrast(color, NIGHT)) >= 3, color
    for color in (INK, SOFT):
        assert contrast(color, PAPER) >= 4.5
        assert contrast(AT_NIGHT[color], NIGHT) >= 4.5
    assert contrast(INK, BLANK) >= 4.5  # letters on cells without a value
    assert contrast(AT_NIGHT[INK], AT_NIGHT[BLANK]) >= 4.5


def test_lines_beyond_the_colours_differ_in_their_dashes():
    styles = palette.series(len(SERIES) * len(DASHES))
    assert len(set(styles)) == len(styles)
    assert len({dash for _, dash in styles[:4]}) == 4


def test_an_svg_follows_the_page_and_a_png_is_for_paper():
    figure = learning_plot([("λ = 1", np.arange(3.0), np.ones((3, 3)))], "title")
    svg = plots.as_bytes(figure, "svg").decode()
    style = re.search(r"@media \(prefers-color-scheme:dark\)\{(.*?)\}\}", svg)[1]
    for light, night in AT_NIGHT.items():
        assert f'[style*="fill: {light}"]{{fill:{night} !important}}' in f"{style}}}"
        assert f'[style*="stroke: {light}"]{{stroke:{night} !important}}' in f"{style}}}"
    assert "color-scheme:light dark" in svg
    background = svg.index('id="patch_1"')
    assert "fill: #ffffff" not in svg[background : background + 200]  # nothing white lies under the picture
    drawn = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    assert f"fill: {INK}" in drawn
    assert "#000000" not in drawn  # nothing stays black at night
    pixels = mpl.image.imread(__import__("io").BytesIO(plots.as_bytes(figure, "png", 40)))
    np.testing.assert_array_equal(pixels[0, 0], 1.0)


def texts(figure):
    """All text of a figure that is shown, with its size."""
    figure.draw_without_rendering()
    return [(text.get_text(), text.get_fontsize()) for text in figure.findobj(mpl.text.Text) if text.get_text()]


def test_few_curves_have_their_names_at_their_ends_and_many_have_axes_of_their_own(rng):
    curves = [(f"λ = {kl}", np.arange(5.0), rng.random((5, 4))) for kl in range(6)]
    few, many = learning_plot(curves[:3], "few"), learning_plot(curves, "many")
    assert len(few.axes) == 1
    assert few.axes[0].get_legend() is None
    assert {"λ = 0", "λ = 1", "λ = 2"} <= {text for text, _ in texts(few)}
    thick = [line for line in few.axes[0].lines if line.get_linewidth() > 1]
    assert (len(thick), len(few.axes[0].lines) - len(thick)) == (3, 12)
    np.testing.assert_allclose(thick[1].get_ydata(), curves[1][2].mean(1))
    assert [axes.get_title() for axes in many.axes[:6]] == [label for label, _, _ in curves]


def test_names_that_would_overlap_are_moved_apart(rng):
    for _ in range(20):
        places = rng.random(6) ** 4
        moved = apart(places, 0.1)
        assert np.diff(np.sort(moved)).min() >= 0.1 - 1e-12
        assert (np.argsort(moved) == np.argsort(places)).all()
        assert moved.max() <= 1 + 1e-12
    np.testing.assert_array_equal(apart(np.array([0.1, 0.9]), 0.1), [0.1, 0.9])


@pytest.mark.parametrize(("width", "wide"), [("column", 3.25), ("text", 6.75), (5, 5.0), ("5", 5.0), (None, 9.0)])
def test_pictures_have_the_width_of_a_paper_and_text_of_seven_points_or_more(rng, width, wide):
    assert inches(width, 9.0) == wide
    curves = [Curve(panel, f"λ = {kl}", kl, 0.0, *rng.random((4, 6))) for panel in PANELS for kl in (0.0, 1.0)]
    figures = [
        plots.figure1(curves, width),
        learning_plot([("λ = 0.1", np.arange(3.0), np.ones((3, 3)))], "title", width),
        plots.traces_plot([("λ = 1", np.ones(5), np.ones(5))], "title", width),
        plots.cells_plot(np.eye(2), ("β", [0.1, 0.2]), ("τ", [0.1, 0.2]), "title", width=width),
        plots.solution_plot(np.ones(5), np.ones(3), 0.1, "title", width),
    ]
    for figure in figures:
        assert width is None or figure.get_figwidth() == wide
        assert min(size for _, size in texts(figure)) >= 7


@pytest.mark.parametrize("width", ["colum", "1", 90, "nan"])
def test_widths_that_are_none_are_refused(width):
    with pytest.raises(ValueError, match="width: "):
        inches(width, 1.0)
