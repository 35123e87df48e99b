"""Which method `auto` goes over to: every branch of the choice, and both sides of every threshold."""

import math

import numpy as np
import pytest

from mdvi.planning.choice import Situation, choose, more_sweeps

VALUE, CHAIN, ORDERED, NEWTON = "value-iteration", "modified-policy-iteration", "gauss-seidel", "policy-iteration"

# Chains are swept, the policy has settled, every turn has done its work, and nothing calls for another method.
GOOD = Situation(
    method=CHAIN,
    backups=10,
    turns=5,
    width=0.1,
    earlier=1.0,
    idle=0.0,
    moved=0.0,
    left=0.0,
    sweeps=12,
    branching=5.0,
    states=10_000,
    leaps=0.0,
    blurred=False,
)
IN_ORDER = GOOD._replace(method=ORDERED, width=0.001)
SOLVING = GOOD._replace(method=NEWTON)


def above(x):
    return math.nextafter(x, math.inf)


@pytest.mark.parametrize("now", [GOOD, IN_ORDER, SOLVING], ids=lambda now: now.method)
def test_a_method_that_does_well_goes_on(now):
    assert choose(now) == now.method
    assert not more_sweeps(now)


def test_a_policy_that_has_hardly_begun_to_settle_is_not_evaluated():
    assert choose(GOOD._replace(moved=0.1)) == CHAIN
    assert choose(GOOD._replace(moved=above(0.1))) == VALUE
    assert choose(GOOD._replace(moved=1.0, backups=1, turns=0, earlier=math.inf)) == VALUE  # as every solve begins


def test_after_thirty_backups_a_policy_that_still_moves_goes_round_in_circles():
    assert choose(GOOD._replace(moved=1.0, backups=30)) == VALUE
    assert choose(GOOD._replace(moved=1.0, backups=31)) == CHAIN


@pytest.mark.parametrize("now", [IN_ORDER, SOLVING], ids=lambda now: now.method)
def test_methods_that_do_not_evaluate_a_policy_by_sweeps_do_not_wait_for_it(now):
    assert choose(now._replace(moved=1.0)) == now.method


def test_rewards_that_have_far_to_go_are_carried_by_ordered_sweeps():
    second = GOOD._replace(backups=2, turns=1, earlier=math.inf, moved=1.0)
    assert choose(second._replace(idle=0.5)) == VALUE
    assert choose(second._replace(idle=above(0.5))) == ORDERED
    assert choose(second._replace(idle=1.0, states=10)) == ORDERED  # however few states there are
    assert choose(second._replace(idle=1.0, left=0.5)) == ORDERED  # and whatever the turn before left
    assert choose(SOLVING._replace(idle=1.0)) == NEWTON
    assert choose(IN_ORDER._replace(idle=1.0)) == ORDERED


def test_a_chain_that_mixes_slowly_is_left_for_ordered_sweeps():
    assert choose(GOOD._replace(width=0.5)) == CHAIN
    slow = GOOD._replace(width=above(0.5))
    assert choose(slow) == ORDERED
    assert choose(slow._replace(width=50.0, earlier=100.0)) == CHAIN  # it is a share of what there was
    assert choose(slow._replace(turns=2)) == ORDERED
    assert choose(slow._replace(turns=1)) == CHAIN  # one turn says nothing yet
    assert choose(slow._replace(moved=1.0)) == ORDERED


def test_a_small_model_that_mixes_slowly_is_solved_at_once():
    slow = GOOD._replace(width=1.0)
    assert choose(slow._replace(states=2000)) == NEWTON
    assert choose(slow._replace(states=2001)) == ORDERED
    assert choose(slow._replace(states=2000, idle=1.0)) == NEWTON


@pytest.mark.parametrize("now", [GOOD, IN_ORDER], ids=lambda now: now.method)
def test_what_a_turn_leaves_undone_is_solved(now):
    assert choose(now._replace(left=0.1)) == now.method
    assert choose(now._replace(left=above(0.1))) == NEWTON
    assert choose(now._replace(left=2.0)) == NEWTON  # ordered windows may leave more than there was


def test_a_turn_that_has_left_its_work_is_not_called_slow():
    """Slowness would lead to ordered sweeps, but it is the chain that calls for a solve."""
    assert choose(GOOD._replace(width=1.0, left=0.5)) == NEWTON


def test_ordered_sweeps_that_gain_less_than_two_digits_in_two_turns_are_given_up():
    assert choose(IN_ORDER._replace(width=0.01)) == ORDERED
    slow = IN_ORDER._replace(width=above(0.01))
    assert choose(slow) == NEWTON
    assert choose(slow._replace(turns=2)) == NEWTON
    assert choose(slow._replace(turns=1)) == ORDERED


def test_newtons_method_is_never_left():
    for slow in (SOLVING._replace(width=2.0), SOLVING._replace(left=0.5), SOLVING._replace(idle=1.0, moved=1.0)):
        assert choose(slow) == NEWTON


def test_ordered_sweeps_are_not_taken_up_where_transitions_lead_far_ahead():
    far = GOOD._replace(backups=2, turns=1, idle=1.0)
    assert choose(far._replace(leaps=0.02)) == ORDERED
    assert choose(far._replace(leaps=above(0.02))) == NEWTON
    assert choose(GOOD._replace(leaps=1.0)) == CHAIN  # it matters to ordered sweeps only


def test_ordered_sweeps_are_not_taken_up_where_entropy_keeps_windows_from_settling():
    far = GOOD._replace(backups=2, turns=1, idle=1.0)
    assert choose(far._replace(blurred=True)) == NEWTON
    assert choose(GOOD._replace(blurred=True)) == CHAIN


WIDE = GOOD._replace(branching=50.0, left=0.5, sweeps=12)


def test_a_chain_of_many_successors_is_swept_on_before_it_is_solved():
    assert more_sweeps(WIDE)
    assert choose(WIDE) == CHAIN
    assert choose(WIDE._replace(width=1.0, idle=1.0)) == CHAIN  # whatever else is the case
    assert choose(WIDE._replace(moved=1.0)) == VALUE  # but for a policy that still moves
    assert choose(WIDE._replace(method=ORDERED)) == ORDERED


def test_twenty_successors_are_many():
    assert not more_sweeps(WIDE._replace(branching=20.0))
    assert choose(WIDE._replace(branching=20.0)) == NEWTON
    assert more_sweeps(WIDE._replace(branching=above(20.0)))


def test_a_chain_that_has_done_its_work_is_not_swept_for_longer():
    assert not more_sweeps(WIDE._replace(left=0.1))
    assert more_sweeps(WIDE._replace(left=above(0.1)))


@pytest.mark.parametrize("sweeps", [12, 24, 96])
def test_two_hundred_sweeps_are_too_many(sweeps):
    """So many sweeps leave the share x, so n leave x^(n / sweeps); .3 is what is asked for."""
    enough = 0.3 ** (sweeps / 199.99)
    too_few = 0.3 ** (sweeps / 200.01)
    assert more_sweeps(WIDE._replace(sweeps=sweeps, left=enough))
    assert not more_sweeps(WIDE._replace(sweeps=sweeps, left=too_few))
    assert choose(WIDE._replace(sweeps=sweeps, left=too_few)) == NEWTON


@pytest.mark.parametrize("left", [1.0, 1.5, math.inf])
def test_a_chain_that_sweeps_do_not_bring_closer_is_solved(left):
    assert not more_sweeps(WIDE._replace(left=left))
    assert choose(WIDE._replace(left=left)) == NEWTON


def test_a_choice_is_a_method_and_depends_on_nothing_but_the_situation(rng):
    for _ in range(2000):
        now = Situation(
            method=str(rng.choice([CHAIN, ORDERED, NEWTON])),
            backups=int(rng.integers(1, 40)),
            turns=int(rng.integers(5)),
            width=float(rng.random()),
            earlier=float(rng.choice([rng.random(), np.inf])),
            idle=float(rng.random()),
            moved=float(rng.random()),
            left=float(rng.choice([0.0, rng.random(), 2.0])),
            sweeps=int(rng.choice([12, 24, 48])),
            branching=float(rng.choice([1.0, 50.0])),
            states=int(rng.choice([10, 10_000])),
            leaps=float(rng.choice([0.0, 0.5])),
            blurred=bool(rng.random() < 0.5),
        )
        chosen = choose(now)
        assert chosen == choose(now)
        assert chosen in (VALUE, CHAIN, ORDERED, NEWTON)
        order = [CHAIN, ORDERED, NEWTON]  # no way leads back
        assert chosen == VALUE or order.index(chosen) >= order.index(now.method)
        assert (chosen == VALUE) <= (now.method == CHAIN)
