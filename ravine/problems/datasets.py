"""Data sets with known shapes and licences: digits inside the package, CIFAR-10, MNIST and Fashion-MNIST on demand.

Every loader returns a `Dataset`; its parts are pairs (x, y) that go straight into `train(..., data=...)`:

    digits         1,797 images   8×8×1    shipped in the package
    mnist         70,000 images  28×28×1   12 MB, downloaded once
    fashion_mnist 70,000 images  28×28×1   31 MB, downloaded once
    cifar10       60,000 images  32×32×3  170 MB, downloaded once

Downloads go to `cache_folder()/datasets/NAME`, are resumed when broken off, and are checked against the MD5 sums that
their authors publish. Files that lie there already are taken as they are, so a machine without a network needs only
that folder filled. No file is ever unpickled.
"""

from __future__ import annotations

import dataclasses
import gzip
import importlib.resources
import math
import pathlib
import tarfile
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ravine.core.files import write_whole
from ravine.problems.download import cache_folder, fetch


class Split(NamedTuple):
    """Images and their labels.

    Attributes:
        x: images, (n, height, width, channels); float32 in [0, 1], or the raw uint8.
        y: class numbers, (n,), int32.
    """

    x: np.ndarray
    y: np.ndarray


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set in three parts.

    Attributes:
        train: what a method sees.
        validation: what choices (step size, method) are made on.
        test: what the final number is reported on, once.
        classes: the names of the classes; label k means classes[k].
        name: the loader's name.
        licence: the terms of use, and whom to cite.
    """

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    name: str
    licence: str


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a data set lives and how its files are laid out (the four canonical ones are in `SOURCES`).

    Attributes:
        name: the folder's name in the cache.
        mirrors: addresses that end in "/", tried in order.
        files: file name -> published MD5 sum.
        validation: how many of the training images, the last ones, are the validation part.
        classes: names of the classes.
        licence: terms of use and citation.
    """

    name: str
    mirrors: tuple[str, ...]
    files: Mapping[str, str]
    validation: int
    classes: tuple[str, ...]
    licence: str

    def folder(self) -> pathlib.Path:
        return cache_folder() / "datasets" / self.name


CIFAR10 = Source(
    name="cifar10",
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    files={"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
    validation=5_000,
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    licence="no licence stated; cite A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009)",
)
MNIST = Source(
    name="mnist",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ),
    files={
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    validation=5_000,
    classes=tuple("0123456789"),
    licence="CC BY-SA 3.0; Y. LeCun, C. Cortes, C. Burges, The MNIST Database of Handwritten Digits",
)
FASHION_MNIST = Source(
    name="fashion-mnist",
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    files={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    validation=5_000,
    classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    licence="MIT; H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST (2017)",
)
SOURCES = {source.name: source for source in (CIFAR10, MNIST, FASHION_MNIST)}

_CIFAR_FOLDER = "cifar-10-batches-bin"
_CIFAR_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_CIFAR_TEST = "test_batch.bin"
_CIFAR_ROW = 1 + 3 * 32 * 32
_LARGEST = 1 << 30  # no file of these sets is larger; a compressed one that claims to be is not read to the end


def digits(*, dtype: type = np.float32) -> Dataset:
    """Handwritten digits: 1,797 images of 8×8 pixels, ten classes, shipped inside the package.

    The images are the test part of E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits* (UCI Machine
    Learning Repository, 1998, doi:10.24432/C50P49), licensed CC BY 4.0: 17 grey levels, the same images in the same
    order as scikit-learn's `load_digits`. Of every seven consecutive images five are for training, then one for
    validation and one for the test: 1,285, 256 and 256 images.

    Args:
        dtype: np.float32 for values in [0, 1], np.uint8 for the levels 0 ... 16.

    Raises:
        ValueError: another dtype.

    >>> data = digits()
    >>> data.train.x.shape, data.validation.x.shape, data.test.x.shape
    ((1285, 8, 8, 1), (256, 8, 8, 1), (256, 8, 8, 1))
    """
    resource = importlib.resources.files("ravine.problems") / "data" / "digits.npz"
    with resource.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        images, labels = archive["images"], archive["labels"]
    x = _scale(images[..., None], dtype, levels=16)
    y = labels.astype(np.int32)
    turn = np.arange(len(y)) % 7
    train, validation, test = (Split(x[chosen], y[chosen]) for chosen in (turn < 5, turn == 5, turn == 6))
    licence = "CC BY 4.0; E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998)"
    return Dataset(train, validation, test, tuple("0123456789"), "digits", licence)


def cifar10(*, dtype: type = np.float32, download: bool = True, source: Source = CIFAR10) -> Dataset:
    """CIFAR-10: 60,000 colour photographs of 32×32 pixels, ten classes (Krizhevsky 2009), from its binary version.

    45,000 images for training, the next 5,000 (the end of data_batch_5) for validation, and the official test batch.

    Args:
        dtype: np.float32 for values in [0, 1] (740 MB in memory), np.uint8 for the raw bytes (184 MB).
        download: False: never use the network.
        source: another address or validation size.

    Raises:
        ConnectionError: not in the cache and not to be had; the message names the folder to fill.
        ValueError: a file in the cache is not what it should be; the message names it.
    """
    folder = source.folder() / _CIFAR_FOLDER
    names = (*_CIFAR_TRAIN, _CIFAR_TEST)
    if not all((folder / name).exists() for name in names):
        (archive,) = source.files
        _fetch_all(source, download, needed=tuple(f"{_CIFAR_FOLDER}/{name}" for name in names))
        _unpack(source.folder() / archive, _CIFAR_FOLDER, names)
    train = [_read_cifar(folder / name, dtype) for name in _CIFAR_TRAIN]
    x, y = np.concatenate([part.x for part in train]), np.concatenate([part.y for part in train])
    return _dataset(source, Split(x, y), _read_cifar(folder / _CIFAR_TEST, dtype))


def mnist(*, dtype: type = np.float32, download: bool = True, source: Source = MNIST) -> Dataset:
    """MNIST: 70,000 handwritten digits of 28×28 pixels (LeCun, Cortes, Burges 1998).

    55,000 images for training, the next 5,000 for validation, and the official 10,000 for the test.

    Args:
        dtype: np.float32 for values in [0, 1], np.uint8 for the raw bytes.
        download: False: never use the network.
        source: another address or validation size.

    Raises:
        ConnectionError: not in the cache and not to be had; the message names the folder to fill.
        ValueError: a file in the cache is not what it should be; the message names it.
    """
    folder = source.folder()
    stems = [name.removesuffix(".gz") for name in source.files]
    if not all((folder / stem).exists() or (folder / f"{stem}.gz").exists() for stem in stems):
        _fetch_all(source, download, needed=tuple(source.files))
    parts = []
    for kind in ("train", "t10k"):
        x = _read_idx(folder / f"{kind}-images-idx3-ubyte", dimensions=3)
        y = _read_idx(folder / f"{kind}-labels-idx1-ubyte", dimensions=1)
        if len(x) != len(y) or (y > 9).any():
            raise ValueError(f"{folder}: the {kind} images and labels do not belong together; delete them and try again")
        parts.append(Split(_scale(x[..., None], dtype), y.astype(np.int32)))
    return _dataset(source, *parts)


def fashion_mnist(*, dtype: type = np.float32, download: bool = True, source: Source = FASHION_MNIST) -> Dataset:
    """Fashion-MNIST: 70,000 pictures of clothes, 28×28 pixels, ten classes (Xiao, Rasul, Vollgraf 2017).

    Laid out and split as `mnist`, whose arguments and errors it has.
    """
    return mnist(dtype=dtype, download=download, source=source)


def _dataset(source: Source, train: Split, test: Split) -> Dataset:
    n = len(train.y) - source.validation
    if n <= 0:
        raise ValueError(f"{source.name}: {len(train.y)} training images leave none after {source.validation} for validation")
    head, tail = Split(train.x[:n], train.y[:n]), Split(train.x[n:], train.y[n:])
    return Dataset(head, tail, test, source.classes, source.name, source.licence)


def _scale(x: np.ndarray, dtype: type, levels: int = 255) -> np.ndarray:
    if dtype is np.uint8:
        return x
    if dtype is not np.float32:
        raise ValueError(f"dtype is np.float32 (values in [0, 1]) or np.uint8 (raw bytes), got {dtype!r}")
    return x.astype(np.float32) / np.float32(levels)


def _fetch_all(source: Source, download: bool, needed: tuple[str, ...]) -> None:
    """Bring every file of `source` into its folder, or say which folder wants which files."""
    folder = source.folder()
    try:
        for name, checksum in source.files.items():
            if not (folder / name).exists():
                if not download:
                    raise ConnectionError("download=False")
                fetch([mirror + name for mirror in source.mirrors], folder / name, checksum)
    except ConnectionError as error:
        raise ConnectionError(
            f"{source.name} is not in the cache and could not be downloaded ({error}). Fill the folder {folder} with "
            f"{', '.join(source.files)} from {source.mirrors[0]} (or with {', '.join(needed)}), "
            "or point RAVINE_CACHE at a cache that has it."
        ) from error


def _unpack(archive: pathlib.Path, folder: str, names: tuple[str, ...]) -> None:
    """Copy just the named regular files out of a tar archive: no path, link or mode of the archive's is followed."""
    target = archive.parent / folder
    target.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for name in names:
                member = tar.getmember(f"{folder}/{name}")
                if not member.isreg() or member.size > _LARGEST:
                    raise ValueError(f"{archive}: {member.name} is not a plain file of a sensible size")
                content = tar.extractfile(member)
                assert content is not None  # isreg() said so
                with content:
                    write_whole(target / name, content.read())
    except (tarfile.TarError, KeyError, EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{archive} is not the archive it should be ({error}); delete it and try again") from error


def _read_cifar(path: pathlib.Path, dtype: type) -> Split:
    """Rows of 1 label byte and 3,072 bytes: 32×32 red, then green, then blue."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    if content.size == 0 or content.size % _CIFAR_ROW:
        raise ValueError(f"{path}: {content.size} bytes are not whole rows of {_CIFAR_ROW}; delete it and try again")
    rows = content.reshape(-1, _CIFAR_ROW)
    if (rows[:, 0] > 9).any():
        raise ValueError(f"{path}: a label is above 9; delete it and try again")
    images = np.ascontiguousarray(rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return Split(_scale(images, dtype), rows[:, 0].astype(np.int32))


def _read_idx(path: pathlib.Path, dimensions: int) -> np.ndarray:
    """The idx format of MNIST: 0, 0, 8 (uint8), the number of dimensions, each as big-endian int32, the bytes."""
    zipped = path.with_name(path.name + ".gz")
    try:
        if path.exists():
            content = path.read_bytes()
        else:
            with gzip.open(zipped) as file:
                content = file.read(_LARGEST)
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"{zipped} is damaged ({error}); delete it and try again") from error
    head = 4 + 4 * dimensions
    shape = tuple(int(n) for n in np.frombuffer(content[4:head], ">i4")) if len(content) >= head else ()
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) - head != math.prod(shape):
        raise ValueError(f"{path}: not an idx file of bytes with {dimensions} dimensions; delete it and try again")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)
