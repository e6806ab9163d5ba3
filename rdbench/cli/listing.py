"""What there is: codecs, back-ends, datasets, experiments, and what the cache holds."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from rdbench.cache import entries, is_sound
from rdbench.errors import RdbenchError
from rdbench.machine import cache_dir, profiles_folder

__all__ = ["CACHED", "DATASETS", "KINDS", "cache_report", "describe_backend", "everything"]

Rows = list[tuple[str, str]]
"""Names and descriptions."""


DATASETS = (
    ("synthetic", "1,168 drawn subjects with exact labels, 640x360"),
    ("synthetic:720p", "the same people at 1280x720"),
    ("avec2016", "the AVEC 2016 package (needs --root)"),
    ("recola", "the public RECOLA release (needs --root)"),
    ("affwild2", "Aff-Wild2 (ABAW): valence and arousal (needs --root)"),
    ("affwild2:expr", "its expressions"),
    ("affwild2:au", "its action units"),
    ("afew-va", "AFEW-VA: valence and arousal of film clips (needs --root)"),
    ("ck+", "CK+: an emotion for each sequence (needs --root)"),
    ("ck+:au", "its action units"),
    ("ravdess", "RAVDESS: an emotion for each recording of an actor (needs --root)"),
    ("crema-d", "CREMA-D: the same (needs --root)"),
    ("mead", "MEAD, from the front: the same (needs --root)"),
    ("PATH", "any folder of video files, labels optional"),
)


CACHED = ("clips", "settings", "synthetic", "weights", "work")
"""What rdbench puts into its cache; nothing else is removed, whatever folder the cache was said to be."""


def codecs() -> Rows:
    """Each profile with its variants, and where it is from if it is the user's own."""
    from rdbench.codecs.profiles import load_profiles

    rows = []
    profiles = load_profiles(profiles_folder())
    for name, profile in profiles.items():
        own = "" if profile.origin == "shipped" else f"; yours, from {profile.origin}"
        rows.append((name, f"{profile.description} (variants {', '.join(profile.variants)}{own})"))
    rows += [(name, f"cannot be used: {error}") for name, error in profiles.unusable.items()]
    return rows


def backends() -> Rows:
    """Each back-end with what it was trained on, or why it cannot be opened."""
    from rdbench.backends.registry import ONNX, list_backends

    any_network = "any network in an ONNX file, with FILE.toml beside it that tells how to use it"
    return [*((name, describe_backend(name)) for name in list_backends()), (f"{ONNX}FILE.onnx", any_network)]


def experiments() -> Rows:
    """Each experiment that ships, with what it is for."""
    from rdbench.sweep.experiment import shipped_experiments

    return [(f"{name}.toml", text) for name, text in shipped_experiments().items()]


KINDS: dict[str, Callable[[], Rows]] = {
    "codecs": codecs,
    "backends": backends,
    "datasets": lambda: list(DATASETS),
    "experiments": experiments,
}
"""What can be listed; each kind imports what it needs, so that nobody waits for torch to see the codecs."""


def everything() -> dict[str, Rows]:
    """Names and descriptions by kind."""
    return {kind: rows() for kind, rows in KINDS.items()}


def describe_backend(name: str) -> str:
    """What a back-end was trained on, or why it cannot be opened."""
    from rdbench.backends.registry import find_backend

    try:
        return find_backend(name, None, "cpu").trained_on
    except RdbenchError as error:
        return f"cannot be opened: {error}"


def verify_cache() -> tuple[list[str], int]:
    """A line for each file of the cache that is not what was written, which is removed, and one for all; how many."""
    lines, whole = [], 0
    for kind in CACHED:
        for file in entries(cache_dir() / kind) if kind != "work" else ():
            if is_sound(file):
                whole += 1
                continue
            file.unlink()
            lines.append(f"damaged, removed: {file}")
    return [*lines, f"{whole} files are as they were written, {len(lines)} were not"], len(lines)


def cache_report(clear: bool) -> list[str]:
    """Where the cache lies and its size by kind; emptied if asked."""
    folder = cache_dir()
    lines = [f"cache: {folder}"]
    for part in sorted(folder.iterdir()) if folder.is_dir() else []:
        size = sum(file.stat().st_size for file in part.rglob("*") if file.is_file())
        lines.append(f"  {part.name}: {size / 2**20:.1f} MiB")
        if clear and part.name in CACHED:
            shutil.rmtree(part) if part.is_dir() and not part.is_symlink() else part.unlink()
        elif clear:
            lines.append(f"  {part.name} is not from rdbench and stays")
    if clear:
        lines.append("removed")
    return lines
