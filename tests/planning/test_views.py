"""What results show of themselves: frames and pictures without what cannot happen, and a few lines everywhere."""

import html.parser

import numpy as np
import pytest
from matplotlib.quiver import Quiver

import mdvi
from mdvi import FiniteMDP, mdp, solve
from mdvi.planning import views
from mdvi.report import maps
from mdvi.report.palette import luminance


@pytest.fixture(scope="module")
def shop():
    """A named model with an illegal action in each state and an end."""
    table = {
        "state": ["low", "low", "high", "high", "high"],
        "action": ["wait", "order", "wait", "sell", "sell"],
        "next_state": ["low", "high", "high", "out", "low"],
        "probability": [1, 1, 1, 0.5, 0.5],
        "reward": [0, -2, 1, 10, 3],
    }
    return FiniteMDP.from_frame(table, 0.9, terminal=["out"])


@pytest.mark.parametrize(("kl", "entropy"), [(0, 0), (0, 3.0), (0.5, 0.5), (0, 1e-3)])
def test_policies_are_probabilities_with_exact_zeros(shop, kl, entropy):
    policy = solve(shop, kl, entropy).policy
    assert np.isfinite(policy).all()
    assert (policy[~shop.legal] == 0).all()
    np.testing.assert_allclose(policy.sum(-1), 1, rtol=1e-12)
    if entropy == 3.0:
        q = solve(shop, kl, entropy).q[0, :2] / 3.0
        np.testing.assert_allclose(policy[0, :2], np.exp(q) / np.exp(q).sum(), rtol=1e-9)


def test_frames_have_names_and_leave_out_what_cannot_be_chosen(shop):
    pytest.importorskip("pandas")
    solution = solve(shop, entropy=3.0)
    states = solution.to_frame()
    assert states.columns.tolist() == ["state", "value", "lower", "upper", "action"]
    assert states["state"].tolist() == ["low", "high", "out"]
    assert states["action"].tolist() == ["wait", "wait", None]
    np.testing.assert_array_equal(states["value"], solution.value)
    pairs = solution.to_frame(pairs=True)
    assert list(zip(pairs["state"], pairs["action"], strict=True)) == [
        ("low", "wait"), ("low", "order"), ("high", "wait"), ("high", "sell")
    ]  # fmt: skip
    np.testing.assert_array_equal(pairs["q"], solution.q[shop.live])
    np.testing.assert_array_equal(pairs["probability"], solution.policy[shop.live])
    assert not pairs.isna().any(axis=None)


def test_frames_count_where_there_are_no_names():
    pandas = pytest.importorskip("pandas")
    model = FiniteMDP(np.full((3, 2, 3), 1 / 3), np.eye(3)[:, :2], 0.9, terminal=np.arange(3) == 1)
    frame = solve(model).to_frame()
    assert frame["state"].tolist() == [0, 1, 2]
    assert frame["action"].dtype == "Int64"
    assert frame["action"][1] is pandas.NA
    pairs = model.replace(names=mdp.Names(((0, 1), (1, 0), (1, 1))))
    assert solve(pairs).to_frame()["state"].tolist() == [(0, 1), (1, 0), (1, 1)]


def drawn(solution):
    figure = solution.plot()
    assert figure._repr_png_().startswith(b"\x89PNG")
    return figure


def test_a_map_has_arrows_where_there_is_a_choice_and_as_long_as_it_is_likely():
    solution = solve("gym:FrozenLake-v1", entropy=0.05)
    figure = drawn(solution)
    (arrows,) = [artist for artist in figure.axes[0].collections if isinstance(artist, Quiver)]
    alive = {place for place, kind in enumerate("SFFFFHFHFFFHHFFG") if kind in "SF"}
    assert len(arrows.U) == (solution.policy[sorted(alive)] >= 0.05).sum()
    at = [int(row) * 4 + int(column) for column, row in arrows.XY]
    assert set(at) == alive
    moves = solution.mdp.layout.moves
    for place, right, down in zip(at, arrows.U, arrows.V, strict=True):
        action = moves.index((int(np.sign(down)), int(np.sign(right))))
        assert (right**2 + down**2) == pytest.approx(0.42**2 * solution.policy[place, action])
    letters = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(filter(str.isalpha, letters)) == ["G", "H", "H", "H", "H", "S"]


def test_a_maze_has_its_walls_and_an_open_room_has_none():
    def lines(name):
        figure = drawn(solve(name))
        return {
            tuple(map(tuple, path.vertices))
            for artist in figure.axes[0].collections
            if not isinstance(artist, Quiver)
            for path in artist.get_paths()
        }

    assert not lines("grid:rows=3,columns=4")
    assert not lines("cliff")
    model = mdp.maze(4, 5, openings=0.0, seed=2)
    crossed = {
        (s, t) for s, a in np.argwhere(model.live) for t in model.kernel.state[s, a][model.kernel.probability[s, a] > 0]
    }
    walls = 0
    for cell in range(20):
        for other in (cell + 1,) * (cell % 5 < 4) + (cell + 5,) * (cell < 15):
            walls += not {(cell, other), (other, cell)} & crossed and 19 not in (cell, other)
    assert len(lines("maze:rows=4,columns=5,openings=0,seed=2")) == walls > 5


def test_arrows_and_letters_can_be_read_on_every_colour():
    import matplotlib as mpl

    values = np.linspace(0, 1, 256).reshape(16, 16)
    ink = maps.inks(values, lambda x: x)
    below = luminance(mpl.colormaps["viridis"](values)[..., :3])
    above = np.where(ink == "white", 1.0, 0.0)
    contrast = (np.maximum(above, below) + 0.05) / (np.minimum(above, below) + 0.05)
    assert contrast.min() >= 4.5
    assert luminance(np.array([1.0, 1.0, 1.0])) == pytest.approx(1.0)
    assert luminance(np.array([1.0, 0.0, 0.0])) == pytest.approx(0.2126)


def test_named_states_have_a_row_each_with_blanks_for_illegal_actions(shop):
    solution = solve(shop, entropy=3.0)
    left, right = drawn(solution).axes[:2]
    assert [label.get_text() for label in left.get_yticklabels()] == ["low", "high", "out"]
    assert [label.get_text() for label in right.get_xticklabels()] == ["wait", "order", "sell"]
    shown = np.ma.filled(right.images[0].get_array(), np.nan)
    np.testing.assert_array_equal(np.isnan(shown), ~shop.live)
    np.testing.assert_array_equal(shown[shop.live], solution.policy[shop.live])


def test_many_states_are_drawn_in_their_order():
    solution = solve(mdp.garnet(states=60, seed=1))
    above, below = drawn(solution).axes[:2]
    np.testing.assert_array_equal(above.lines[0].get_ydata(), solution.value)
    (dots,) = [artist for artist in below.collections if hasattr(artist, "get_sizes") and len(artist.get_offsets())]
    np.testing.assert_array_equal(dots.get_offsets(), np.argwhere(solution.policy >= 0.05))


def test_large_models_show_the_value_of_every_state():
    solution = solve(mdp.garnet(states=500))
    figure = drawn(solution)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), solution.value)
    assert views.picture(mdp.garnet(states=500), *np.zeros((3, 500)), np.zeros((500, 4)), "") is None


class Balanced(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        assert not attrs
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(page):
    found = Balanced()
    found.feed(page)
    assert not found.open
    return found.text


def test_notebooks_get_a_table_in_which_text_only_shows_itself(shop):
    named = shop.replace(names=mdp.Names(("<b>low</b>", "high\x1b[2J", "out"), shop.names.actions))
    for result in (named, solve(named)):
        text = read(result._repr_html_())
        assert "<b>low</b>" in text
        assert "high\\x1b[2J" in text
    long = solve(mdp.garnet(states=30))._repr_html_()
    assert "… 22 more" in read(long)
    assert len(long) < 3000


def test_pictures_and_frames_say_which_package_is_missing(monkeypatch, shop):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"pandas is not installed.*pip install"):
        solve(shop).to_frame()
    solve(shop).plot()
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"matplotlib is not installed.*pip install"):
        solve(shop).plot()


def test_solutions_are_equal_to_themselves_alone_and_models_by_their_numbers(shop):
    one, other = solve(shop), solve(shop)
    assert one == one
    assert one != other
    assert len({one, other, one}) == 2
    assert shop == shop.replace(names=mdp.Names())
    assert hash(shop) == hash(shop.replace(names=mdp.Names()))
    assert mdvi.FiniteMDP is type(shop)
