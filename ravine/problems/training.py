"""Training problems: the networks of `networks` on the data sets of `datasets`, as `Problem`s."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ravine.math.loss import SoftmaxCrossEntropy
from ravine.problems import datasets
from ravine.problems.datasets import Dataset
from ravine.problems.networks import MLP, ConvNet, Network, accuracy, cross_entropy, squared_loss
from ravine.problems.problem import Problem

_LOSSES: dict[str, Callable[[Network], Callable[..., Any]]] = {
    "cross_entropy": cross_entropy,
    "squared": squared_loss,
}


def digits_mlp(
    width: int = 32,
    depth: int = 1,
    batch_size: int | None = 64,
    loss: str = "cross_entropy",
    activation: str = "relu",
    start: str = "torch",
    target: float | None = 0.05,
) -> Problem:
    """An MLP 64-width-…-10 with `depth` hidden layers on the digits shipped in the package.

    Args:
        width: units of each hidden layer.
        depth: number of hidden layers; 0 is softmax regression.
        batch_size: examples a step; None for all.
        loss: "cross_entropy" or "squared".
        activation: "relu", "tanh", "gelu" or "softplus".
        start: "torch" or "he" starting weights.
        target: mean training loss that counts as solved.

    >>> problem = digits_mlp()
    >>> problem.data.x.shape, problem.batch_size
    ((1285, 8, 8, 1), 64)
    """
    return _mlp(datasets.digits(), [width] * depth, batch_size, loss, activation, start, target)


def digits_convnet(
    channels: str | tuple[int, ...] = "16-32",
    batch_size: int | None = 64,
    loss: str = "cross_entropy",
    activation: str = "relu",
    start: str = "torch",
    target: float | None = 0.01,
) -> Problem:
    """A small convolutional network on the digits; `channels` of its convolutions as "16-32" or (16, 32)."""
    return _convnet(datasets.digits(), channels, batch_size, loss, activation, start, target)


def mnist_mlp(
    widths: str | tuple[int, ...] = "128-64",
    batch_size: int | None = 128,
    loss: str = "cross_entropy",
    activation: str = "relu",
    start: str = "torch",
    target: float | None = 0.05,
) -> Problem:
    """An MLP on MNIST (12 MB, downloaded once); its hidden layers as "128-64" or (128, 64)."""
    return _mlp(datasets.mnist(), widths, batch_size, loss, activation, start, target)


def fashion_mnist_mlp(
    widths: str | tuple[int, ...] = "128-64",
    batch_size: int | None = 128,
    loss: str = "cross_entropy",
    activation: str = "relu",
    start: str = "torch",
    target: float | None = 0.25,
) -> Problem:
    """An MLP on Fashion-MNIST (31 MB, downloaded once); its hidden layers as "128-64" or (128, 64)."""
    return _mlp(datasets.fashion_mnist(), widths, batch_size, loss, activation, start, target)


def cifar10_mlp(
    widths: str | tuple[int, ...] = "4000-1000-4000",
    batch_size: int | None = 64,
    loss: str = "cross_entropy",
    activation: str = "relu",
    start: str = "torch",
    target: float | None = 1.0,
) -> Problem:
    """The MLP 3072-4000-1000-4000-10 (20.3 million parameters) on CIFAR-10 (170 MB, downloaded once)."""
    return _mlp(datasets.cifar10(), widths, batch_size, loss, activation, start, target)


def cifar10_convnet(
    channels: str | tuple[int, ...] = "32-64-128",
    batch_size: int | None = 64,
    loss: str = "cross_entropy",
    activation: str = "relu",
    start: str = "torch",
    target: float | None = 0.7,
) -> Problem:
    """A small convolutional network on CIFAR-10 (170 MB, downloaded once)."""
    return _convnet(datasets.cifar10(), channels, batch_size, loss, activation, start, target)


def digits_mlp_squares(
    width: int = 16,
    depth: int = 1,
    examples: int = 500,
    activation: str = "tanh",
    start: str = "torch",
    target: float | None = 0.01,
) -> Problem:
    """The digits MLP in least-squares form: ½‖r‖² is the mean over the examples of ½‖network(x) − onehot(y)‖².

    Args:
        width, depth, activation, start: as in `digits_mlp`.
        examples: how many of the training images, the first ones.
        target: value of ½‖r‖² that counts as solved.

    Raises:
        ValueError: more examples than there are.
    """
    x, y, network = _first_digits(examples, [width] * depth, activation, start)
    return Problem(
        name="digits_mlp_squares",
        residual=ClassResiduals(network),
        init=network.init,
        args=(x, y),
        target=target,
        doc=f"MLP {_dashes(network.widths)} on {examples} digits as least squares",
    )


def digits_mlp_softmax(
    width: int = 16,
    depth: int = 1,
    examples: int = 500,
    activation: str = "tanh",
    start: str = "torch",
    target: float | None = 0.01,
) -> Problem:
    """The digits MLP with its mean softmax cross-entropy as least squares has it: logits, and generalised Gauss-Newton steps.

    Args:
        width, depth, examples, activation, start: as in `digits_mlp_squares`.
        target: mean cross-entropy that counts as solved.

    Raises:
        ValueError: more examples than there are.
    """
    x, y, network = _first_digits(examples, [width] * depth, activation, start)
    return Problem(
        name="digits_mlp_softmax",
        residual=network.apply,
        residual_loss=SoftmaxCrossEntropy(np.asarray(y)),
        init=network.init,
        args=(x,),
        target=target,
        doc=f"MLP {_dashes(network.widths)} on {examples} digits by generalised Gauss-Newton",
    )


def _first_digits(examples: int, hidden: list[int], activation: str, start: str) -> tuple[Any, Any, MLP]:
    """Images and labels, and a network for them."""
    train = datasets.digits().train
    if not 1 <= examples <= len(train.y):
        raise ValueError(f"examples is between 1 and {len(train.y)}, got {examples}")
    return train.x[:examples], train.y[:examples], MLP((64, *hidden, 10), activation, start)


@dataclasses.dataclass(frozen=True)
class ClassResiduals:
    """r(params, x, y) = (network(x) − onehot(y))/√n, (n, classes): ½‖r‖² is `squared_loss` of the n examples."""

    network: Network

    def __call__(self, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        outputs = self.network.apply(params, x)
        onehot = jax.nn.one_hot(y, outputs.shape[-1], dtype=outputs.dtype)
        return (outputs - onehot) / np.sqrt(len(x)).item()


def _mlp(
    data: Dataset,
    hidden: str | tuple[int, ...] | list[int],
    batch_size: int | None,
    loss: str,
    activation: str,
    start: str,
    target: float | None,
) -> Problem:
    inputs = int(np.prod(data.train.x.shape[1:]))
    network = MLP((inputs, *_numbers("widths", hidden), len(data.classes)), activation, start)
    return _training(f"{data.name}_mlp", network, data, batch_size, loss, target, f"MLP {_dashes(network.widths)}")


def _convnet(
    data: Dataset,
    channels: str | tuple[int, ...],
    batch_size: int | None,
    loss: str,
    activation: str,
    start: str,
    target: float | None,
) -> Problem:
    height, width, depth = data.train.x.shape[1:]
    network = ConvNet((height, width, depth), len(data.classes), _numbers("channels", channels), activation, start)
    form = f"convolutional network with {_dashes(network.channels)} channels"
    return _training(f"{data.name}_convnet", network, data, batch_size, loss, target, form)


def _training(
    name: str, network: Any, data: Dataset, batch_size: int | None, loss: str, target: float | None, form: str
) -> Problem:
    if loss not in _LOSSES:
        raise ValueError(f"loss is one of {', '.join(_LOSSES)}; got {loss!r}")
    return Problem(
        name=name.replace("-", "_"),
        loss=_LOSSES[loss](network),
        init=network.init,
        data=data.train,
        batch_size=batch_size,
        validation=data.validation,
        metrics={"accuracy": accuracy(network)},
        target=target,
        doc=f"{form} on {len(data.train.y):,} images of {data.name} ({loss.replace('_', '-')} loss); data: {data.licence}",
    )


def _numbers(name: str, given: str | tuple[int, ...] | list[int]) -> tuple[int, ...]:
    """(4000, 1000) from "4000-1000", from the tuple itself, or from a single number."""
    parts = str(given).split("-") if isinstance(given, str | int) else given
    try:
        return tuple(int(part) for part in parts)
    except ValueError:
        raise ValueError(f'{name} are whole numbers with dashes between them, such as "128-64"; got {given!r}') from None


def _dashes(numbers: tuple[int, ...]) -> str:
    return "-".join(map(str, numbers))
