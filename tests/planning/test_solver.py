"""The loop around the choice of a method: what it tells the choice, and what it makes of the answer."""

import math

import numpy as np
import pytest

from mdvi import mdp
from mdvi.planning import solver
from mdvi.planning.criteria import CRITERIA
from mdvi.planning.methods import METHODS, Turn
from mdvi.planning.problem import problem_of

VALUE, CHAIN, ORDERED, NEWTON = "value-iteration", "modified-policy-iteration", "gauss-seidel", "policy-iteration"


class Ended(Exception):  # noqa: N818
    """A script is over."""


def follow(monkeypatch, model, script, left=0.0, entropy=0.0):
    """A solver whose choices are read from a script and whose turns are backups: it, what it knew, what it aimed at."""
    situations, turns, answers = [], [], iter(script)

    def choose(now):
        situations.append(now)
        try:
            return next(answers)
        except StopIteration:
            raise Ended from None

    def turn_of(name):
        def turn(problem, backup, aim, watch):
            turns.append((name, aim))
            return Turn(backup.value, left)

        return turn

    monkeypatch.setattr(solver, "choose", choose)
    for name in METHODS:
        monkeypatch.setitem(METHODS, name, turn_of(name))
    followed = solver.Solver(problem_of(model, 0.0, entropy), CRITERIA["discounted"], 1e-300, "auto", None)
    with pytest.raises(Ended):
        followed.run(lambda: None)
    return followed, situations, turns


def test_a_turn_of_value_iteration_leaves_the_method_and_begins_its_count_anew(monkeypatch):
    script = [VALUE, CHAIN, CHAIN, CHAIN, VALUE, CHAIN]
    _, situations, turns = follow(monkeypatch, mdp.garnet(30, discount=0.99), script)
    assert [name for name, _ in turns] == script
    assert [now.turns for now in situations] == [0, 0, 1, 2, 3, 0, 1]
    assert {now.method for now in situations} == {CHAIN}
    assert [now.backups for now in situations] == [1, 2, 3, 4, 5, 6, 7]


def test_a_method_that_is_taken_up_is_the_method_from_then_on(monkeypatch):
    # A choice of ordered sweeps is looked at again, twice, as soon as there is an order.
    script = [CHAIN, CHAIN, ORDERED, ORDERED, ORDERED, ORDERED, NEWTON]
    _, situations, turns = follow(monkeypatch, mdp.maze(20, 20), script)
    assert [name for name, _ in turns] == [CHAIN, CHAIN, ORDERED, ORDERED, NEWTON]
    assert [now.method for now in situations] == [CHAIN] * 5 + [ORDERED, ORDERED, NEWTON]
    assert [now.turns for now in situations] == [0, 1, 2, 2, 2, 1, 2, 1]


@pytest.mark.parametrize("entropy", [0.0, 0.1])
def test_what_the_order_tells_is_known_as_soon_as_there_is_one(monkeypatch, entropy):
    model = mdp.forest(3000, discount=0.99)
    solver_, situations, turns = follow(monkeypatch, model, [CHAIN, ORDERED, ORDERED, NEWTON], entropy=entropy)
    assert [name for name, _ in turns if name != ORDERED] == [CHAIN, NEWTON]
    assert [now.leaps for now in situations] == [0.0, 0.0, *[solver_.leaps] * 3]
    assert solver_.leaps > 0.02
    blurred = entropy > 0
    assert [now.blurred for now in situations] == [False, False, False, blurred, blurred]


@pytest.mark.parametrize(("without_entropy", "swept"), [(ORDERED, 1), (NEWTON, 0)])
def test_newtons_method_starts_from_values_without_entropy_where_ordered_sweeps_would_find_them(
    monkeypatch, without_entropy, swept
):
    script = [CHAIN, ORDERED, without_entropy, NEWTON]
    _, _, turns = follow(monkeypatch, mdp.forest(3000, discount=0.99), script, entropy=0.1)
    assert [name for name, _ in turns] == [CHAIN, *[ORDERED] * swept, NEWTON]


def test_a_situation_has_the_widths_of_the_last_backups_and_what_the_last_turn_left(monkeypatch):
    model = mdp.garnet(30, discount=0.99)
    solver_, situations, _ = follow(monkeypatch, model, [CHAIN] * 6, left=0.05)
    widths = solver_.proof.widths
    assert [now.width for now in situations] == widths
    assert [now.earlier for now in situations] == [math.inf, math.inf, *widths[:-2]]
    assert [now.left for now in situations] == [0.0] + [0.05] * 6
    assert {(now.states, now.branching, now.sweeps) for now in situations} == {(30, solver_.problem.branching, 12)}


def test_a_situation_has_the_share_of_the_policy_that_moved(monkeypatch):
    model = mdp.garnet(200, discount=0.99)
    _, situations, _ = follow(monkeypatch, model, [VALUE] * 6)
    problem, v, best, moved = problem_of(model), np.zeros(200), None, []
    for _ in situations:
        backup = problem.backup(v)
        moved.append(1.0 if best is None else np.mean(backup.best != best))
        v, best = backup.value, backup.best
    assert [now.moved for now in situations] == moved
    assert 0 < moved[1] < 1


def test_only_the_second_backup_tells_how_far_rewards_have_to_go(monkeypatch):
    _, situations, _ = follow(monkeypatch, mdp.grid(10, 10, discount=0.9), [VALUE] * 5)
    assert [now.idle > 0.5 for now in situations] == [False, True, False, False, False, False]
    assert [now.idle for now in situations if now.backups != 2] == [0.0] * 5


def test_chains_are_swept_twice_as_often_as_long_as_that_is_worth_it(monkeypatch):
    model = mdp.garnet(300, 2, 40, 0.99)
    _, situations, turns = follow(monkeypatch, model, [CHAIN] * 7, left=0.5)
    assert [aim.sweeps for _, aim in turns] == [12, 24, 48, 96, 192, 192, 192]
    assert [now.sweeps for now in situations] == [12, 12, 24, 48, 96, 192, 192, 192]


def test_the_method_that_is_asked_for_is_not_looked_for(monkeypatch):
    monkeypatch.setattr(solver, "choose", None)
    for method in METHODS:
        followed = solver.Solver(problem_of(mdp.garnet(20)), CRITERIA["discounted"], 1e-6, method, None)
        assert followed.run(lambda: None) == "certified"
        assert followed.method == method
