"""What `rdbench doctor` finds: programs, packages, encoders, and what a package of recordings holds."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Any

from rdbench import __version__, binary
from rdbench.backends.registry import list_backends
from rdbench.cli.listing import describe_backend
from rdbench.codecs.profiles import Profile, load_profiles
from rdbench.datasets.registry import inspect_package
from rdbench.errors import EncodeError, InputError
from rdbench.machine import cache_dir, cores, free_bytes, installed, profiles_folder, required
from rdbench.tables.label_counts import LabelCounts

__all__ = ["diagnosis", "package"]


def diagnosis() -> tuple[list[str], bool]:
    """Lines for a bug report, and whether everything that a run needs is there."""
    lines = [
        f"rdbench {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        f"cores: {cores()}",
    ]
    packages, good = installed(required())
    lines += [*packages, _torch()]
    try:
        lines.append(f"FFmpeg {binary.build()}")
        known = _encoders()
    except (EncodeError, InputError, OSError) as error:
        return [*lines, f"FFmpeg: missing ({error}); install imageio-ffmpeg"], False
    profiles = load_profiles(profiles_folder())
    lines += [f"codec {name}: cannot be used: {error}" for name, error in profiles.unusable.items()]
    for name, profile in profiles.items():
        if profile.encoder in known:
            lines.append(f"codec {name}: {profile.encoder} {_version(profile)}, ok")
        else:
            good = good and name not in ("x264", "x265")
            lines.append(
                f"codec {name}: this FFmpeg has no {profile.encoder}; use one that has, or leave it out"
            )
    for name in list_backends():
        lines.append(f"back-end {name}: {describe_backend(name)}")
    folder = cache_dir()
    lines.append(f"cache: {folder}, {free_bytes(folder) / 2**30:.1f} GiB free")
    lines.append("Everything a run needs is there." if good else "Something is missing: see above.")
    return lines, good


def _torch() -> str:
    import torch

    if torch.version.cuda is None:
        return "torch is a CPU build"
    if torch.cuda.is_available():
        return f"torch is a CUDA {torch.version.cuda} build and sees {torch.cuda.get_device_name()}"
    return f"torch is a CUDA {torch.version.cuda} build, but there is no GPU; a CPU build is smaller and does the same"


_VERSION = re.compile(
    r"(x264 - core \d+)|(?:HEVC encoder version|libvvenc version:|SVT-AV1 Encoder Lib|\[(?:enc:)?lib(?:aom|vpx)[^]]*\]) v?(\d\S*)"
)


def _version(profile: Profile) -> str:
    """What an encoder says of itself while it codes three pictures: libx264 in its stream, others in their log."""
    source = ("-f", "lavfi", "-i", "testsrc=s=64x64:r=10", "-frames:v", "3", "-pix_fmt", "yuv420p")
    coded = (
        "-c:v",
        profile.encoder,
        "-threads",
        "1",
        "-f",
        "h264" if profile.format == "h264" else "null",
        "-",
    )
    found = _VERSION.search(binary.told("-v", "verbose", *source, *coded))
    return "(version not told)" if found is None else found[1] or found[2]


def _encoders() -> set[str]:
    lines = binary.told("-v", "error", "-encoders").splitlines()
    return {line.split()[1] for line in lines if line.startswith(" V")}


def package(dataset: str, root: Path, follow_links: bool = False) -> tuple[list[str], bool]:
    """Check a dataset's package: lines to print, and whether the partitions that are needed can be used."""
    seen = inspect_package(dataset, root, follow_links=follow_links)
    lines = [
        f"{recording.clip} ({recording.partition}): " + ", ".join(_shown(recording))
        for recording in seen.recordings
    ]
    labels = sum(
        (
            LabelCounts(1, **_joined(recording))
            for recording in seen.recordings
            if recording.exact is not None
        ),
        LabelCounts(),
    )
    lines += [str(labels)] if labels.clips else []
    lines += [f"note: {note}" for note in seen.notes]
    lines += [f"problem: {problem}" for problem in seen.problems]
    needed = " and ".join(seen.needed)
    lines.append(f"{needed} can be used." if seen.usable else f"{needed} cannot be used: see above.")
    return lines, seen.usable


def _joined(recording: Any) -> dict[str, int]:
    """How the frames of a recording come by their labels."""
    return {name: getattr(recording, name) for name in ("exact", "nearest", "interpolated", "missing")}


def _shown(recording: Any) -> list[str]:
    parts = [recording.size] if recording.size else []
    parts += [f"{recording.frames} frames"] if recording.frames is not None else []
    parts += [f"{recording.fps:.3f} fps"] if recording.fps is not None else []
    parts += [f"labels: {recording.labels}"] if recording.labels else []
    if recording.covered is not None:
        kinds = ", ".join(f"{count} {name}" for name, count in _joined(recording).items())
        parts.append(f"cover {100 * recording.covered:.1f} % of frames ({kinds})")
    share = recording.faced
    parts.append(
        f"boxes {recording.boxes}" + ("" if share is None else f" for {100 * share:.1f} % of frames")
    )
    parts += [f"faces in {recording.faces} pictures"] if recording.faces else []
    parts += [f"PROBLEM: {text}" for text in recording.problems]
    parts += [f"note: {text}" for text in recording.notes]
    return parts
