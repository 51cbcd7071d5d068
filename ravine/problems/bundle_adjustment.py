"""Bundle adjustment: cameras and points from where the points appear in the images.

The files and the camera model are those of *Bundle Adjustment in the Large* (S. Agarwal, N. Snavely, S. Seitz, R. Szeliski,
ECCV 2010, https://grail.cs.washington.edu/projects/bal/): camera c = (ω, t, f, k₁, k₂) sees the point X at

    P = R(ω) X + t            R(ω): turn by ‖ω‖ about ω
    p = −(P₁, P₂)/P₃
    f (1 + k₁ ‖p‖² + k₂ ‖p‖⁴) p

pixels from the middle of the image, and the residual is that less what was observed.
"""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import os
import pathlib
import zlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.files import write_whole
from ravine.core.pairs import PairResidual


class Variables(NamedTuple):
    """What is sought.

    Attributes:
        cameras: (n, 9): rotation vector, translation, focal length, two distortions of each.
        points: (m, 3).
    """

    cameras: jax.Array | np.ndarray
    points: jax.Array | np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """Observations, and where the search starts.

    Attributes:
        camera: of each observation, (k,), int32.
        point: of each observation, (k,), int32.
        observed: pixels from the middle of the image, (k, 2).
        x0: the start.
    """

    camera: np.ndarray
    point: np.ndarray
    observed: np.ndarray
    x0: Variables

    def residual(self, x: Variables) -> jax.Array:
        """Projected less observed, (k, 2) pixels, in the dtype of the points."""
        cameras, points = jnp.asarray(x.cameras), jnp.asarray(x.points)
        projected = jax.vmap(project)(cameras[self.camera], points[self.point])
        return projected - jnp.asarray(self.observed, projected.dtype)

    def pairs(self) -> PairResidual:
        """The same residual, pair by pair: `least_squares(scene.pairs(), scene.x0, (scene.observed,))`."""
        return PairResidual(reprojection, self.camera, self.point)


def rotate(omega: jax.Array, x: jax.Array) -> jax.Array:
    """x (3,) turned by ‖ω‖ about ω (3,), with Rodrigues's formula; smooth at ω = 0.

    x cos θ + (ω × x) sin θ/θ + ω (ω·x) (1 − cos θ)/θ²

    Written out by components: of many observations at once, XLA makes one loop of it, and none for each product.
    """
    (a, b, c), (u, v, w) = omega, x
    square = a * a + b * b + c * c
    small = square < jnp.finfo(square.dtype).eps  # there the series is exact to rounding
    theta = jnp.sqrt(jnp.where(small, 1, square))
    sinc = jnp.where(small, 1 - square / 6, jnp.sin(theta) / theta)
    half = jnp.where(small, 1 - square / 24, jnp.sin(theta / 2) / (theta / 2))
    versine = half**2 / 2  # (1 − cos θ)/θ² without cancellation
    along, cosine = (a * u + b * v + c * w) * versine, 1 - square * versine
    return jnp.stack(
        [
            u * cosine + (b * w - c * v) * sinc + a * along,
            v * cosine + (c * u - a * w) * sinc + b * along,
            w * cosine + (a * v - b * u) * sinc + c * along,
        ]
    )


def project(camera: jax.Array, x: jax.Array) -> jax.Array:
    """Where a camera (9,) sees a point (3,): pixels from the middle of the image, (2,)."""
    f, k1, k2 = camera[6:]
    P = rotate(camera[:3], x) + camera[3:6]
    p, q = -P[0] / P[2], -P[1] / P[2]
    square = p * p + q * q
    scale = f * (1 + square * (k1 + square * k2))
    return jnp.stack([scale * p, scale * q])


def reprojection(camera: jax.Array, x: jax.Array, observed: jax.Array) -> jax.Array:
    """Where a camera (9,) sees a point (3,), less where it was seen, (2,) pixels."""
    return project(camera, x) - observed.astype(x.dtype)


def read(path: str | os.PathLike[str]) -> Scene:
    """Read a file of *Bundle Adjustment in the Large*, plain or compressed (.gz, .bz2).

    Raises:
        OSError: it cannot be read.
        ValueError: it is not such a file; the message says where it goes wrong.
    """
    path = pathlib.Path(path)
    content = path.read_bytes()
    try:
        if path.suffix in (".gz", ".bz2"):
            content = gzip.decompress(content) if path.suffix == ".gz" else bz2.decompress(content)
        words = content.split()
        cameras, points, k = (int(word) for word in words[:3])
        numbers = np.array(words[3:], float)
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: not a bundle adjustment file: it starts with 3 counts and has only numbers") from error
    expected = 4 * k + 9 * cameras + 3 * points
    if min(cameras, points, k) < 1 or len(numbers) != expected:
        raise ValueError(
            f"{path}: {cameras} cameras, {points} points and {k} observations are {expected} numbers after the counts, "
            f"the file has {len(numbers)}"
        )
    table, rest = numbers[: 4 * k].reshape(k, 4), numbers[4 * k :]
    camera, point = table[:, 0].astype(np.int32), table[:, 1].astype(np.int32)
    if (table[:, :2] != np.stack([camera, point], 1)).any() or not _within(camera, cameras) or not _within(point, points):
        raise ValueError(f"{path}: an observation names a camera or a point that is not there")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{path}: a number is not finite")
    start = Variables(rest[: 9 * cameras].reshape(cameras, 9), rest[9 * cameras :].reshape(points, 3))
    return Scene(camera, point, table[:, 2:].copy(), start)


def write(scene: Scene, path: str | os.PathLike[str]) -> None:
    """Write a scene and its start as a file that `read` and other programs read.

    Args:
        scene: what to write; all digits are kept.
        path: of the file, text.
    """
    lines = [f"{len(scene.x0.cameras)} {len(scene.x0.points)} {len(scene.observed)}"]
    rows = zip(scene.camera, scene.point, scene.observed.tolist(), strict=True)
    lines += [f"{c} {p} {u!r} {v!r}" for c, p, (u, v) in rows]
    lines += [repr(value) for array in scene.x0 for value in np.asarray(array, float).ravel().tolist()]
    write_whole(path, "\n".join(lines) + "\n")


def synthetic(
    cameras: int = 4,
    points: int = 60,
    *,
    seen: float = 0.7,
    noise: float = 0.5,
    error: float = 1e-2,
    seed: int = 0,
) -> Scene:
    """Make a scene: points in a ball, cameras on a circle about it that look at its middle.

    Args:
        cameras, points: how many.
        seen: share of the points that a camera sees; each point is seen by two cameras at least.
        noise: standard deviation of the observations, pixels (focal length 500). With 0, ½‖r‖² = 0 is attained.
        error: relative size of the start's errors.
        seed: of all that is random.

    Raises:
        ValueError: fewer than two cameras, no point, or a share outside (0, 1].

    >>> scene = synthetic(cameras=3, points=20)
    >>> scene.x0.cameras.shape, scene.x0.points.shape
    ((3, 9), (20, 3))
    """
    if cameras < 2 or points < 1 or not 0 < seen <= 1:
        raise ValueError(f"a scene has 2 cameras and 1 point at least, seen in (0, 1]; got {cameras}, {points}, {seen}")
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((points, 3))
    X *= (rng.random(points) ** (1 / 3) / np.linalg.norm(X, axis=1))[:, None]
    angle = 2 * np.pi * np.arange(cameras) / cameras
    tilt = rng.uniform(-0.2, 0.2, cameras)
    # Turned about the vertical axis by `angle`, the ball's middle 5 in front of the camera, which looks along −z.
    omega = np.stack([tilt, angle - np.pi, np.zeros(cameras)], axis=1)
    truth = np.concatenate([omega, np.tile([0.0, 0.0, -5.0], (cameras, 1)), np.tile([500.0, -0.05, 0.01], (cameras, 1))], axis=1)
    mask = rng.random((cameras, points)) < seen
    for j in range(points):  # two cameras fix a point
        mask[rng.choice(cameras, 2, replace=False), j] = True
    camera, point = (index.astype(np.int32) for index in np.nonzero(mask))
    pixels = np.asarray(jax.vmap(project)(jnp.asarray(truth[camera]), jnp.asarray(X[point])), float)
    observed = pixels + noise * rng.standard_normal(pixels.shape)
    scale = np.array([1, 1, 1, 5, 5, 5, 500, 0.05, 0.01])
    start = Variables(truth + error * scale * rng.standard_normal(truth.shape), X + error * rng.standard_normal(X.shape))
    return Scene(camera, point, observed, start)


def _within(index: np.ndarray, count: int) -> bool:
    return bool(((index >= 0) & (index < count)).all())
