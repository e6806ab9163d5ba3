"""The torch modules of arXiv 1709.03126, recogniser and super-resolver, and a residual network of today for small machines.

Nothing here knows of video: planes of numbers in, numbers or planes out.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from rdbench.backends.weights import SIZES, Size
from rdbench.errors import InputError

__all__ = [
    "FILTERS",
    "HIDDEN",
    "Norm",
    "Recogniser",
    "ResidualRecogniser",
    "ResidualRestorer",
    "RestoredRecogniser",
    "Restorer",
    "SuperResolver",
    "Trunk",
    "build",
    "convolutions",
]

KERNEL = 5
POOLS = (2, 2, 4)
FILTERS: dict[Size, tuple[int, int, int]] = {"paper": (64, 128, 256), "lite": (16, 32, 64)}
"""Filters of the three convolutions, the same in both networks, so that one can start from the other's."""

RESTORER_FILTERS: dict[Size, tuple[int, int, int]] = {"paper": (64, 128, 256), "lite": (32, 16, 16)}
"""At full size every filter costs as much as a whole layer of the recogniser: the small restorer spends them
where pictures are, in its first layer."""

TRUNK = (16, 24, 40, 64)
"""Filters of the residual network: of its first convolution, and of its three blocks."""

WIDE = (24, 32, 56, 96)
"""Filters of the wide one: 1.92 times the multiply-adds."""

HIDDEN: dict[Size, int] = {"paper": 300, "lite": 64}


def convolutions(size: Size) -> list[nn.Conv2d]:
    """Make the three convolutions that the recogniser and the super-resolver share, initialised after He.

    Raises
    ------
    InputError
        If there is no such size.
    """
    _known(size)
    layers = []
    channels = 1
    for filters in FILTERS[size]:
        layer = nn.Conv2d(channels, filters, KERNEL)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        layers.append(layer)
        channels = filters
    return layers


def _centred(planes: Tensor) -> Tensor:
    """Move luma from 0..1 to about -2..2: without padding this is the same family of functions (weights and
    bias of the first convolution can absorb it), but gradients are better conditioned."""
    return (planes - 0.5) * 4


class Recogniser(nn.Module):
    """Predict one value for each target from a face.

    Three convolutions of 5x5 without padding, each with ReLU and a maximum pooling of 2, 2 and 4, then two
    fully connected layers with dropout 0.5 between. Pooling rounds up, as in Caffe, so 96x96 becomes a map of
    5x5 and `paper` has 6400 x 300 weights in its first fully connected layer.

    Parameters
    ----------
    size : {"paper", "lite"}
        64-128-256 filters and 300 hidden units, or 16-32-64 and 64.
    outputs : int
        Number of targets, 1 or more.
    dropout : float
        Share of the hidden units that is dropped in training, 0..1.

    Raises
    ------
    InputError
        If there is no such size, or `outputs` is less than 1.
    """

    def __init__(self, size: Size, outputs: int, dropout: float = 0.5) -> None:
        super().__init__()
        if outputs < 1:
            raise InputError(f"A recogniser needs 1 output or more, not {outputs}.")
        self.conv1, self.conv2, self.conv3 = convolutions(size)
        self.pools = nn.ModuleList(nn.MaxPool2d(pool, ceil_mode=True) for pool in POOLS)
        self.dropout = nn.Dropout(dropout)
        self.fc4 = nn.Linear(FILTERS[size][-1] * 25, HIDDEN[size])
        self.fc5 = nn.Linear(HIDDEN[size], outputs)
        nn.init.kaiming_normal_(self.fc4.weight, nonlinearity="relu")
        nn.init.zeros_(self.fc4.bias)
        nn.init.normal_(self.fc5.weight, std=0.01)
        nn.init.zeros_(self.fc5.bias)

    @property
    def head(self) -> nn.Linear:
        """The last layer, whose bias starts at the labels' mean."""
        return self.fc5

    def forward(self, faces: Tensor) -> Tensor:
        """Return (n, outputs) for (n, 1, 96, 96) luma in 0..1."""
        x = _centred(faces)
        for layer, pool in zip((self.conv1, self.conv2, self.conv3), self.pools, strict=True):
            # Maximum and ReLU commute; after pooling there are 4 to 16 times fewer values to clip.
            x = torch.relu(pool(layer(x)))
        # Under autocast the convolutions may be rounded to bfloat16; an answer with 8 bits would show steps.
        with torch.autocast(x.device.type, enabled=False):
            # Maps are flattened channel by channel whatever the memory format.
            hidden = self.dropout(torch.relu(self.fc4(x.flatten(1).float())))
            predictions: Tensor = self.fc5(hidden)
        return predictions


class SuperResolver(nn.Module):
    """Restore the detail of an upscaled face: the SR network.

    The recogniser's three convolutions with ReLU and a fourth of 5x5 with one filter. Without padding a patch
    of 32x32 gives its central 16x16, which is what it is trained on.

    Parameters
    ----------
    size : {"paper", "lite"}

    Raises
    ------
    InputError
        If there is no such size.
    """

    margin = 4 * (KERNEL // 2)
    """Pixels that are lost on each side."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = convolutions(size)
        self.conv4 = nn.Conv2d(FILTERS[size][-1], 1, KERNEL)
        nn.init.normal_(self.conv4.weight, std=0.001)
        nn.init.zeros_(self.conv4.bias)  # type: ignore[arg-type]

    def forward(self, faces: Tensor) -> Tensor:
        """Return (n, 1, h - 16, w - 16) luma for (n, 1, h, w) luma in 0..1; both at least 17 pixels."""
        x = _centred(faces)
        for layer in (self.conv1, self.conv2, self.conv3):
            x = torch.relu(layer(x))
        restored: Tensor = self.conv4(x) / 4 + 0.5
        return restored


class Restorer(nn.Module):
    """Restore an upscaled face at its own size, so that what a recogniser gets can be looked at.

    The super-resolver's four convolutions of 5x5, padded by repeating the edge, added to the picture that came
    in: the upscaled face is right on average, and only what it lacks is to be learned.

    Parameters
    ----------
    size : {"paper", "lite"}
        64-128-256-1 filters, or 32-16-16-1.

    Raises
    ------
    InputError
        If there is no such size.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        _known(size)
        channels = 1
        layers = []
        for filters in (*RESTORER_FILTERS[size], 1):
            layer = nn.Conv2d(channels, filters, KERNEL, padding=KERNEL // 2, padding_mode="replicate")
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            layers.append(layer)
            channels = filters
        self.conv1, self.conv2, self.conv3, self.conv4 = layers
        nn.init.normal_(self.conv4.weight, std=0.001)

    def forward(self, faces: Tensor) -> Tensor:
        """Return (n, 1, h, w) luma in 0..1 for the same."""
        x = _centred(faces)
        for layer in (self.conv1, self.conv2, self.conv3):
            x = torch.relu(layer(x))
        restored: Tensor = (faces + self.conv4(x) / 4).clamp(0, 1)
        return restored


class RestoredRecogniser(nn.Module):
    """A restorer and the recogniser that looks at its pictures.

    Parameters
    ----------
    restorer : nn.Module
        Faces in, faces of the same size out.
    recogniser : Recogniser or ResidualRecogniser
    """

    def __init__(self, restorer: nn.Module, recogniser: Recogniser | ResidualRecogniser) -> None:
        super().__init__()
        self.restorer = restorer
        self.recogniser = recogniser

    @property
    def head(self) -> nn.Linear:
        """The recogniser's last layer."""
        return self.recogniser.head

    def forward(self, faces: Tensor) -> Tensor:
        """Return (n, outputs) for (n, 1, 96, 96) luma in 0..1."""
        predictions: Tensor = self.recogniser(self.restorer(faces))
        return predictions


class Norm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015) without a counter of batches, which no file of weights needs.

    Parameters
    ----------
    channels : int
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise by the batch in training, else by what batches had on average; frozen ones always do the latter."""
        learning = self.training and self.weight.requires_grad
        return nn.functional.batch_norm(x, self.mean, self.variance, self.weight, self.bias, learning, 0.1)


def _plain(channels: int, filters: int, kernel: int, stride: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


class _Block(nn.Module):
    """Two convolutions of 3x3, the first with stride 2, beside one of 1x1 (He et al. 2016)."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.first, self.first_norm = _plain(channels, filters, 3, 2), Norm(filters)
        self.second, self.second_norm = _plain(filters, filters, 3, 1), Norm(filters)
        self.beside = _plain(channels, filters, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(inner)) + self.beside(x))


class Trunk(nn.Module):
    """What recogniser and restorer of size "lite" share: a convolution of 5x5 with stride 3 and three residual blocks.

    A face is looked at on a grid of 32x32 first: what a codec leaves of a small face has no more, and a layer at full
    size costs as much as all the others together.

    Parameters
    ----------
    filters : tuple of int
        Of the first convolution and of the blocks.
    """

    def __init__(self, filters: tuple[int, int, int, int] = TRUNK) -> None:
        super().__init__()
        self.filters = filters
        self.stem, self.stem_norm = _plain(1, filters[0], 5, 3), Norm(filters[0])
        self.blocks = nn.ModuleList(_Block(*pair) for pair in itertools.pairwise(filters))

    def forward(self, faces: Tensor) -> list[Tensor]:
        """Return maps of 32x32, 16x16, 8x8 and 4x4 for (n, 1, 96, 96) luma in 0..1."""
        maps = [torch.relu(self.stem_norm(self.stem(_centred(faces))))]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return maps


class ResidualRecogniser(nn.Module):
    """Predict one value for each target from a face: the recogniser of size "lite".

    Parameters
    ----------
    outputs : int
        Number of targets, 1 or more.
    dropout : float
        Share of the last map that is dropped in training, 0..1.
    trunk : Trunk, optional
        The one of `TRUNK` by default.

    Raises
    ------
    InputError
        If `outputs` is less than 1.
    """

    def __init__(self, outputs: int, dropout: float = 0.3, trunk: Trunk | None = None) -> None:
        super().__init__()
        if outputs < 1:
            raise InputError(f"A recogniser needs 1 output or more, not {outputs}.")
        self.trunk = Trunk() if trunk is None else trunk
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.trunk.filters[-1] * 16, outputs)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, faces: Tensor) -> Tensor:
        """Return (n, outputs) for (n, 1, 96, 96) luma in 0..1."""
        last = self.trunk(faces)[-1]
        # Under autocast the convolutions may be rounded to bfloat16; an answer with 8 bits would show steps.
        with torch.autocast(last.device.type, enabled=False):
            predictions: Tensor = self.head(self.dropout(last.flatten(1).float()))
        return predictions


class ResidualRestorer(nn.Module):
    """Restore an upscaled face on the recogniser's trunk: what models of size "lite" learn before they recognise.

    The trunk's maps are brought to one depth, added up from the smallest to the largest (Lin et al. 2017), and what the
    face lacks is read from the largest, nine pixels at a time (Shi et al. 2016).
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.sides = nn.ModuleList(nn.Conv2d(filters, TRUNK[0], 1) for filters in TRUNK)
        self.last = nn.Conv2d(TRUNK[0], 9, 3, padding=1)
        nn.init.normal_(self.last.weight, std=0.001)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, faces: Tensor) -> Tensor:
        """Return (n, 1, 96, 96) luma for the same."""
        maps = [side(each) for side, each in zip(self.sides, self.trunk(faces), strict=True)]
        x = maps.pop()
        while maps:
            x = maps.pop() + nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
        restored: Tensor = faces + nn.functional.pixel_shuffle(self.last(torch.relu(x)), 3) / 4
        return restored


def build(network: str, size: str, outputs: int, dropout: float = 0.5) -> nn.Module:
    """Make a network by its name in a file of weights, freshly initialised.

    Raises
    ------
    InputError
        If there is no such network or size.
    """
    known = _known(size)
    match network:
        case "Recogniser":
            return Recogniser(known, outputs, dropout)
        case "RestoredRecogniser":
            return RestoredRecogniser(Restorer(known), Recogniser(known, outputs, dropout))
        case "SuperResolver":
            return SuperResolver(known)
        case "Restorer":
            return Restorer(known)
        case "ResidualRecogniser":
            return ResidualRecogniser(outputs, dropout)
        case "WideRecogniser":
            return ResidualRecogniser(outputs, dropout, Trunk(WIDE))
        case "RestoredResidualRecogniser":
            return RestoredRecogniser(Restorer(known), ResidualRecogniser(outputs, dropout))
        case "ResidualRestorer":
            return ResidualRestorer()
    raise InputError(f"There is no network '{network}' in this version of rdbench.")


def _known(size: str) -> Size:
    for each in SIZES:
        if each == size:
            return each
    raise InputError(f"There is no network of size '{size}'; sizes are {' and '.join(SIZES)}.")
