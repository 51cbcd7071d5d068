"""Bundle adjustment: the camera model against SciPy's rotations, files there and back, and a real file if there is one."""

import gzip
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from ravine.problems.bundle_adjustment import project, read, rotate, synthetic, write
from ravine.problems.download import cache_folder

turn, turn_slopes = jax.jit(rotate), jax.jit(jax.jacfwd(rotate))


@pytest.mark.parametrize("size", [0.0, 1e-12, 1e-8, 1e-4, 1.0, 3.0, 10.0])
def test_rotate_is_scipys(size):
    rng = np.random.default_rng(0)
    omega, x = size * rng.standard_normal(3), rng.standard_normal(3)
    np.testing.assert_allclose(
        turn(jnp.asarray(omega), jnp.asarray(x)), Rotation.from_rotvec(omega).apply(x), rtol=1e-13, atol=1e-15
    )
    J = turn_slopes(jnp.asarray(omega), jnp.asarray(x))
    if size == 0:  # ∂(ω × x)/∂ω = −[x]×
        np.testing.assert_array_equal(J, [[0, x[2], -x[1]], [-x[2], 0, x[0]], [x[1], -x[0], 0]])
    else:
        h = 1e-6
        for i, e in enumerate(np.eye(3)):
            ahead, behind = (Rotation.from_rotvec(omega + s * h * e).apply(x) for s in (1, -1))
            np.testing.assert_allclose(J[:, i], (ahead - behind) / (2 * h), atol=1e-8)


def test_rotate_keeps_its_digits_across_the_series_boundary():
    x, axis = jnp.array([0.3, -0.2, 0.9]), jnp.array([0.6, 0.0, 0.8])
    for theta in (1.2e-8, 1.6e-8, 3e-8):  # √eps = 1.5e-8
        J = turn_slopes(theta * axis, x)
        np.testing.assert_allclose(J, turn_slopes(0 * axis, x), atol=1e-7)


def test_project_by_hand():
    camera = jnp.array([0, 0, np.pi / 2, 1.0, 0.0, -4.0, 100.0, 0.1, 0.01])
    # the point (1, 2, 2) turned about z: (−2, 1, 2); shifted: (−1, 1, −2); p = (−½, ½), ‖p‖² = ½
    expected = 100 * (1 + 0.05 + 0.0025) * np.array([-0.5, 0.5])
    np.testing.assert_allclose(project(camera, jnp.array([1.0, 2.0, 2.0])), expected, rtol=1e-13)


def test_a_noiseless_scene_has_cost_zero_and_is_found():
    scene = synthetic(cameras=3, points=12, noise=0.0, error=1e-3)
    flat, unravel = ravel_pytree(jax.tree.map(jnp.asarray, scene.x0))
    r = jax.jit(lambda x: scene.residual(unravel(x)).ravel())
    J = jax.jit(jax.jacfwd(r))
    assert np.linalg.norm(r(flat)) > 1
    end = least_squares(lambda x: np.asarray(r(x)), flat, lambda x: np.asarray(J(x)), x_scale="jac", xtol=1e-15)
    assert end.cost < 1e-12


def test_synthetic_scenes_are_reproducible_and_complete():
    one, same, other = synthetic(seed=3), synthetic(seed=3), synthetic(seed=4)
    np.testing.assert_array_equal(one.observed, same.observed)
    assert not np.array_equal(one.x0.points, other.x0.points)
    assert np.bincount(one.point, minlength=60).min() >= 2
    with pytest.raises(ValueError, match="2 cameras"):
        synthetic(cameras=1)


@pytest.mark.parametrize("packed", [False, True])
def test_files_there_and_back(tmp_path, packed):
    scene = synthetic(cameras=3, points=7)
    path = tmp_path / "scene.txt"
    write(scene, path)
    if packed:
        path.with_suffix(".txt.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = path.with_suffix(".txt.gz")
    back = read(path)
    for a, b in zip(jax.tree.leaves(vars(scene)), jax.tree.leaves(vars(back)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "x" + text, "3 counts"),
        (lambda text: text[: len(text) // 2] + "\n", "the file has"),
        (lambda text: text.replace("3 7 ", "4 7 ", 1), "the file has"),
        (lambda text: text.replace("\n0 ", "\n9 ", 1), "not there"),
        (lambda text: text.replace("\n0 ", "\n0.5 ", 1), "not there"),
        (lambda text: "", "3 counts"),
        (lambda text: text.rstrip().rsplit("\n", 1)[0] + "\nnan\n", "not finite"),
    ],
)
def test_broken_files_are_refused(tmp_path, change, message):
    path = tmp_path / "scene.txt"
    write(synthetic(cameras=3, points=7), path)
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=message):
        read(path)


def test_a_damaged_archive_is_refused(tmp_path):
    for name in ("scene.txt.gz", "scene.txt.bz2"):
        (tmp_path / name).write_bytes(b"neither of the two")
        with pytest.raises(ValueError, match="not a bundle adjustment file"):
            read(tmp_path / name)


def test_the_residual_has_the_variables_dtype():
    scene = synthetic(cameras=2, points=3)
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, jnp.float32), scene.x0)
    assert jax.eval_shape(scene.residual, shapes).dtype == jnp.float32


def test_ladybug_starts_at_its_known_cost():
    folder = pathlib.Path(os.environ.get("RAVINE_BAL") or cache_folder() / "datasets" / "bal")
    path = folder / "problem-16-22106-pre.txt.gz"
    if not path.exists():
        pytest.skip(f"no {path}; put it there or name its folder in RAVINE_BAL")
    scene = read(path)
    r = jax.jit(scene.residual)(scene.x0)
    assert f"{0.5 * float(jnp.sum(r**2)):.3f}" == "4185659.518"
