"""What a trace shows: curves, a data set without what cannot be met, and a table in notebooks."""

import numpy as np
import pytest

from mdvi import DualAveraging, FiniteMDP, Scheme, iterate, mdp


def model_of(seed):
    rng = np.random.default_rng(seed)
    legal = np.array([[True, False, True], [True, True, True], [False, True, True], [True, True, True]])
    return FiniteMDP(
        rng.dirichlet(np.ones(4), (4, 3)), rng.normal(size=(4, 3)), 0.9, legal=legal, terminal=np.arange(4) == 3,
        states=["a", "b", "c", "d"], actions=("x", "y", "z"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def trace():
    schemes = [Scheme.of(kl=0.1), Scheme.of(entropy=0.2)]
    record = ("q", "log_policy", "errors", "loss", "bound")
    return iterate([model_of(0), model_of(1)], schemes, 6, "sampled", seed=[0, 1, 2], record=record)


def test_a_data_set_has_names_and_misses_what_cannot_be_met(trace):
    pytest.importorskip("xarray")
    data = trace.to_xarray()
    assert data.q.dims == ("scheme", "mdp", "seed", "iteration", "state", "action")
    assert data.optimal_q.dims == ("scheme", "mdp", "state", "action")
    assert data.loss.dims == ("scheme", "mdp", "seed", "iteration")
    assert data.state.values.tolist() == ["a", "b", "c", "d"]
    assert data.action.values.tolist() == ["x", "y", "z"]
    assert data.scheme.values.tolist() == ["λ = 0.1, τ = 0", "λ = 0, τ = 0.2"]
    np.testing.assert_array_equal(data.loss, trace.loss)
    live = model_of(0).live
    for name in ("q", "log_policy", "errors", "optimal_q"):
        assert (np.isnan(data[name].values) == ~live).all()
        np.testing.assert_array_equal(data[name].values[..., live], trace.records[name][..., live])
    chosen = data.q.sel(state="a", iteration=6, scheme="λ = 0, τ = 0.2")
    np.testing.assert_allclose(chosen.mean("action"), trace.q[1, :, :, 6, 0][..., [0, 2]].mean(-1))
    one = trace[0, 1, 2].to_xarray()
    assert one.q.dims == ("iteration", "state", "action")
    assert one.attrs == {"scheme": "λ = 0.1, τ = 0"}


def test_models_of_other_names_are_counted():
    pytest.importorskip("xarray")
    other = model_of(1).replace(names=mdp.Names(tuple("efgh")))
    data = iterate([model_of(0), other], Scheme.of(kl=0.1), 2, record=("loss", "q")).to_xarray()
    assert data.state.values.tolist() == [0, 1, 2, 3]
    only = iterate(model_of(0), Scheme.of(kl=0.1, evaluate_kl=False), 2, record=("q",)).to_xarray()
    assert set(only) == {"q"}
    assert "evaluate_kl=False" in only.attrs["scheme"]


def test_curves_are_means_over_models_and_seeds(trace):
    axes = trace.plot().axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    for i, label in enumerate(("λ = 0.1, τ = 0", "λ = 0, τ = 0.2")):
        np.testing.assert_allclose(lines[label].get_ydata(), trace.loss.mean((1, 2))[i, 1:])
    assert len(axes.lines) == 4  # with the bounds
    single = trace[0, 0, 0].plot("one run").axes[0]
    assert [line.get_label() for line in single.lines] == ["loss", "bound"]
    np.testing.assert_array_equal(single.lines[1].get_ydata(), trace.bound[0, 0, 0, 1:])
    assert single.get_title() == "one run"
    unbounded = iterate(model_of(0), Scheme.of(kl=0.1), 3, "sampled", record=("loss",))
    assert len(unbounded.plot().axes[0].lines) == 1
    with pytest.raises(ValueError, match="the trace has no loss: iterate with 'loss' in `record`"):
        iterate(model_of(0), Scheme.of(kl=0.1), 3, record=("q",)).plot()


def test_tables_in_notebooks_are_short(trace):
    for result, words in (
        (trace, "2 × 2 × 3 (scheme, mdp, seed)"),
        (trace[0, 0, 0], "theorem 1"),
        (Scheme.of(kl=0.1, entropy=0.3), "0.25"),
        (DualAveraging(Scheme.of(kl=0.1)), "DualAveraging"),
    ):
        text = result._repr_html_()
        assert words in text
        assert len(text) < 1500
