"""NIST's certified regressions and the instances of Moré, Garbow and Hillstrom: each solved, and none called solved that is not."""

import functools

import numpy as np
import pytest

import ravine as rv
from ravine.problems import nist
from ravine.problems.more_garbow_hillstrom import INSTANCES


@pytest.mark.parametrize("name", nist.names())
def test_nist_to_six_certified_digits(name):
    regression = nist.load(name)
    for start in regression.starts:
        r = rv.least_squares(regression.residual, start)
        assert r.success, r.message
        assert regression.digits(r.x) >= 6, r.message


def test_a_start_changed_by_a_rounding_is_as_good():
    """NIST's hardest, from its far start: SciPy's lm and trf reach it from every one of these."""
    regression, rng = nist.load("MGH10"), np.random.default_rng(1)
    for _ in range(10):
        r = rv.least_squares(regression.residual, np.asarray(regression.starts[0]) * (1 + 1e-10 * rng.standard_normal(3)))
        assert regression.digits(r.x) >= 6, r.message


@functools.cache
def residual(function, n, m):
    """One function for all the starts of a problem, so that it is compiled once."""
    return lambda x: function(x, m)


@pytest.mark.parametrize("instance", INSTANCES, ids=lambda i: f"{i.number}-{i.name}")
def test_more_garbow_hillstrom_to_one_part_in_a_million(instance):
    r = rv.least_squares(residual(instance.function, instance.n, instance.m), instance.x0)
    assert instance.solved(float(r.fun)), r.message
    # Bard's second end is an infimum at infinity: no point is a solution, and none may be called one.
    assert r.success == (abs(r.fun - 8.71434666666667) > 1e-5), r.message
