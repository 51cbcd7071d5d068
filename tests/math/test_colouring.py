"""Colours of the columns of known patterns."""

import jax.experimental.sparse
import numpy as np
import pytest
import scipy.sparse

from ravine.math.colouring import as_pattern, colour, table


def banded(n, below, above):
    return scipy.sparse.diags_array([np.ones(n)] * (below + above + 1), offsets=range(-below, above + 1), shape=(n, n))


@pytest.mark.parametrize(("below", "above"), [(0, 0), (1, 1), (2, 2), (0, 3), (4, 1)])
def test_a_banded_matrix_takes_as_many_colours_as_its_bandwidth(below, above):
    assert colour(banded(40, below, above)).max() + 1 == below + above + 1


def test_a_full_row_takes_a_colour_for_every_column_and_columns_apart_share_one():
    assert sorted(colour(scipy.sparse.csr_array(np.ones((1, 70))))) == list(range(70))
    assert colour(scipy.sparse.csr_array(np.eye(70))).max() == 0
    arrow = np.eye(30)
    arrow[:, 0] = 1
    assert colour(scipy.sparse.csr_array(arrow)).max() + 1 == 2


def test_no_row_has_a_colour_twice_and_the_table_has_every_entry():
    pattern = as_pattern(scipy.sparse.random_array((60, 50), density=0.08, rng=np.random.default_rng(0)), 60, 50)
    colours = colour(pattern)
    columns = table(pattern, colours)
    dense = pattern.toarray()
    for i in range(60):
        here = np.flatnonzero(dense[i])
        assert len(set(colours[here])) == len(here)
        assert sorted(columns[:, i][columns[:, i] < 50]) == here.tolist()


def test_patterns_of_every_kind_are_the_same():
    dense = np.random.default_rng(0).random((6, 5)) < 0.4
    kinds = (
        dense,
        scipy.sparse.csc_array(dense),
        scipy.sparse.coo_matrix(dense),
        jax.experimental.sparse.BCOO.fromdense(1.0 * dense),
    )
    for given in kinds:
        np.testing.assert_array_equal(as_pattern(given, 6, 5).toarray(), dense)


def test_what_is_no_pattern_is_refused():
    with pytest.raises(ValueError, match=r"shape 5×6.*6 residuals of 5 parameters"):
        as_pattern(np.ones((5, 6)), 6, 5)
    with pytest.raises(TypeError, match="'probe', a SciPy sparse matrix"):
        as_pattern(object(), 6, 5)
    with pytest.raises(TypeError, match=r"shape \(6,\)"):
        as_pattern(np.ones(6), 6, 5)
