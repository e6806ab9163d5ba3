"""`rdbench run` without its command line: from an experiment to a filled store."""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
import hashlib
import json
import platform
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from rdbench import binary
from rdbench.backends.protocol import Backend, descriptor_length
from rdbench.backends.registry import find_backend, name_for_workers
from rdbench.codecs.coder import check_settings
from rdbench.codecs.profiles import Profile, load_profiles
from rdbench.datasets.registry import NAMES, is_embedded, open_dataset
from rdbench.errors import ClipError, InputError
from rdbench.files import replacing
from rdbench.identity import PROGRAMS, SESSIONS
from rdbench.machine import host_class, profiles_folder
from rdbench.stats.verification import FALSE_ACCEPTS, FEWEST
from rdbench.sweep.experiment import Condition, DatasetChoice, Experiment, conditions
from rdbench.sweep.loop import Progress, Summary, sweep
from rdbench.sweep.unit import Setup, face_margin, programs
from rdbench.sweep.workers import local_executor, remote_executor
from rdbench.tables.store import Store
from rdbench.video.candidates import detector_name, open_detector
from rdbench.video.clip import FACE_SIZE, ClipInfo, Dataset
from rdbench.words import did_you_mean, printable

__all__ = ["Plan", "make_plan", "run_plan", "select_clips"]

COHORT = 32
"""Most subjects whose comparisons set the threshold of verification: 496 pairs."""

DRAWN = "synthetic"
"""So begins what back-ends were trained on that never saw a real face."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that a run will do, known before any of it is done.

    Parameters
    ----------
    experiment : Experiment
        With its partition filled in.
    setup : Setup
    clips : list of ClipInfo
    conditions : list of Condition
    identity : mapping of str to str
        What makes two runs the same.
    notes : list of str
        What the user should know before it starts.
    """

    experiment: Experiment
    setup: Setup
    clips: list[ClipInfo]
    conditions: list[Condition]
    identity: Mapping[str, str]
    notes: list[str]


def make_plan(
    experiment: Experiment,
    *,
    weights: Path | None = None,
    device: str = "cpu",
    time_limit: float | None = None,
    detector: Path | None = None,
) -> Plan:
    """Check everything that can be checked before the first clip is opened.

    Parameters
    ----------
    experiment : Experiment
    weights : Path, optional
        Folder; by default those that ship.
    device : str
    time_limit : float, optional
        Seconds that one pass of an encoder or decoder may take; by default from its cost.
    detector : Path, optional
        What finds faces, see `rdbench.video.candidates.open_detector`.

    Raises
    ------
    InputError
        If a dataset, clip, codec, rate, back-end or its weights cannot be used, or back-ends want to see different
        crops of one coded picture.
    """
    profiles = load_profiles(profiles_folder())
    grid = conditions(experiment, profiles)
    choice = experiment.dataset
    dataset = _opened(choice)
    clips, partition = select_clips(dataset, choice)
    names = list(
        dict.fromkeys([*experiment.backends, *([experiment.reference] if experiment.reference else [])])
    )
    backends = {name: find_backend(name, weights, device) for name in names}
    # `direct` and `direct@lite` are one back-end: rows carry the full name.
    full = tuple(dict.fromkeys(backends[name].name for name in experiment.backends))
    reference = backends[experiment.reference].name if experiment.reference else None
    opened = {name: name_for_workers(name, backend) for name, backend in backends.items()}
    _check_names({opened[name]: backend.name for name, backend in backends.items()})
    margin = 0.0
    if "face" in experiment.region:
        margin = face_margin([backends[name] for name in experiment.backends])
    used = _tried(profiles, grid)
    chosen = _chosen(experiment, full, reference, partition)
    asked = tuple(dict.fromkeys(opened[name] for name in experiment.backends))
    judge = opened[experiment.reference] if experiment.reference else None
    describes = any(descriptor_length(backend) for backend in backends.values())
    cohort = _cohort(dataset, clips) if describes else ()
    setup = Setup(
        *(dataset, choice.seconds, used, asked),
        weights=None if weights is None else weights.resolve(),
        reference=judge,
        device=device,
        face_size=experiment.face_size,
        programs=programs(used),
        time_limit=time_limit,
        fields=choice.interlaced,
        cohort=cohort,
        boxes=experiment.boxes,
        detector=None if detector is None else detector.resolve(),
    )
    identity = _identity(chosen, setup, grid, list(backends.values()))
    notes = [*experiment.notes, *(printable(note) for note in dataset.notes())]
    notes += _notes(used, list(backends.values()), chosen)
    notes += _face_notes(experiment, margin)
    if cohort:
        identity["cohort"] = _digest_of(dataset, cohort)
        notes.append(_cohort_note(cohort, clips))
    if detector is not None:
        open_detector(detector)
        identity["detector"] = detector_name(detector)
        notes.append(f"Faces are found by the network in {detector.name} ({identity['detector']}).")
    if margin:
        # A run without is as it was before there were any.
        identity["face_margin"] = f"{margin:g}"
    return Plan(chosen, setup, clips, grid, identity, notes)


def _cohort(dataset: Dataset, clips: Sequence[ClipInfo]) -> tuple[str, ...]:
    """Clips whose comparisons set the threshold of verification: one a subject, of subjects that are not reported where
    there are enough of these, else the reported ones, each of which is then left out in its own turn."""
    reported = {info.subject for info in clips}
    others: dict[str, str] = {}
    for info in dataset.index():
        if info.subject not in reported:
            others.setdefault(info.subject, info.name)
    if len(others) < FEWEST:
        others = {info.subject: info.name for info in reversed(clips)}
    return tuple(sorted(others.values())[:COHORT])


def _cohort_note(cohort: Sequence[str], clips: Sequence[ClipInfo]) -> str:
    own = not set(cohort).isdisjoint(info.name for info in clips)
    who = "each of them without himself" if own else "none of whom is reported"
    return (
        f"Identity: the threshold is set at {FALSE_ACCEPTS:.0%} false accepts among {len(cohort)} subjects, {who}; tar of "
        "target identity is the true-accept rate."
    )


def _digest_of(dataset: Dataset, cohort: Sequence[str]) -> str:
    """What the threshold depends on; a clip that cannot be read is named alone."""
    told = []
    for name in cohort:
        try:
            told.append(f"{name} {dataset.content(name)}")
        except (ClipError, OSError):
            told.append(name)
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _tried(profiles: Mapping[str, Profile], grid: Sequence[Condition]) -> dict[str, Profile]:
    """The profiles of all coded conditions, each of whose settings its encoder takes."""
    for codec, variant, mode in dict.fromkeys((c.codec, c.variant, c.mode) for c in grid if c.coded):
        check_settings(profiles[codec], variant, mode)
    return {c.codec: profiles[c.codec] for c in grid if c.coded}


def _chosen(
    experiment: Experiment, backends: tuple[str, ...], reference: str | None, partition: str
) -> Experiment:
    """The experiment with all that it leaves open filled in."""
    choice = experiment.dataset
    return experiment.model_copy(
        update={
            "backends": backends,
            "reference": reference,
            "dataset": choice.model_copy(update={"partition": partition} | _places(choice)),
        }
    )


def _face_notes(experiment: Experiment, margin: float) -> list[str]:
    """What is unusual of the faces that are coded in region face."""
    size = experiment.face_size
    notes = []
    if "face" in experiment.region and size != FACE_SIZE:
        notes.append(
            f"Region face: faces are brought to {size}x{size} before they are downsampled, not to {FACE_SIZE}x{FACE_SIZE}."
        )
    if margin:
        notes.append(
            f"Region face: the coded crop is {1 + margin:g} times the face box, as every back-end asks for."
        )
    return notes


def _opened(choice: DatasetChoice) -> Dataset:
    # Workers may have been started in another folder.
    place = Path(choice.name)
    name = str(place.absolute()) if choice.name not in NAMES and place.exists() else choice.name
    root = None if choice.root is None else Path(choice.root).absolute()
    dataset = open_dataset(name, root, follow_links=choice.links == "follow")
    return dataset if choice.seconds is None else dataset.shortened(choice.seconds)


def run_plan(
    plan: Plan,
    out: Path,
    *,
    jobs: int,
    scheduler: str | None = None,
    keep_bitstreams: bool = False,
    report: Callable[[Progress, str | None], None],
) -> Summary:
    """Carry a plan out into a folder; going on where an earlier run stopped.

    Raises
    ------
    InputError
        If the folder holds something else, or no clip at all can be used.
    OSError
        If the disk is full.
    KeyboardInterrupt
        What was finished is kept.
    """
    with Store(out, plan.identity) as store:
        counts = {"planned_clips": len(plan.clips), "planned_conditions": len(plan.conditions)}
        store.note({key: str(count) for key, count in counts.items()})
        _note_session(store, scheduler)
        setup = dataclasses.replace(plan.setup, sample=plan.clips[0].name)
        if keep_bitstreams:
            folder = out / "bitstreams"
            folder.mkdir(exist_ok=True)
            setup = dataclasses.replace(setup, keep=folder.resolve())
        with replacing(out / "experiment.json", durable=True) as part:
            part.write_text(plan.experiment.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if scheduler is None:
            with local_executor(jobs) as fresh:
                summary = sweep(setup, plan.clips, plan.conditions, store, fresh, jobs, report)
        else:
            with remote_executor(scheduler) as (fresh, workers):
                other = dataclasses.replace(setup, verified=False)
                summary = sweep(other, plan.clips, plan.conditions, store, fresh, workers, report)
    if not any(row["state"] == "used" for row in summary.clips):
        reasons = "; ".join(str(row["reason"]) for row in summary.clips[:5])
        raise InputError(f"No clip can be used ({reasons}).")
    return summary


def _note_session(store: Store, scheduler: str | None) -> None:
    """Put down who computes from now on: when, where, by which command. It is never compared."""
    sessions = json.loads(store.noted(SESSIONS) or "[]")
    sessions.append(
        {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["rdbench", *sys.argv[1:]]),
            "host": platform.node(),
            "machine": host_class(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "scheduler": scheduler,
        }
    )
    store.note({SESSIONS: json.dumps(sessions)})


def _check_names(names: Mapping[str, str]) -> None:
    """Refuse two files of one name: in tables they could not be told apart."""
    first: dict[str, str] = {}
    for opened, name in names.items():
        other = first.setdefault(name, opened)
        if other != opened:
            raise InputError(
                f"{opened} and {other} are both called {name} in tables; rename one of the files."
            )


def _places(choice: DatasetChoice) -> dict[str, str]:
    """Folders by their whole path: a run is the same however its folder was written."""
    places = {} if choice.root is None else {"root": printable(str(Path(choice.root).resolve()))}
    return places if choice.name in NAMES else places | {"name": printable(str(Path(choice.name).resolve()))}


def _listed(grid: Sequence[Condition]) -> str:
    """All conditions as JSON, by what is compared: a grid that a profile brings along may change with it."""
    rates: dict[str, list[float]] = {}
    for c in grid:
        rates.setdefault(f"{c.region} {c.factor} {c.codec} {c.variant} {c.mode}", []).append(c.rate)
    return json.dumps(rates, sort_keys=True)


def _identity(
    experiment: Experiment, setup: Setup, grid: Sequence[Condition], backends: Sequence[Backend]
) -> dict[str, str]:
    profiles = setup.profiles
    weights = {backend.name: backend.weights for backend in backends}
    # What else moves a network's last digits: one run has one of each.
    computed = {backend.name: str(getattr(backend, "arithmetic", "its own")) for backend in backends}
    return {
        "experiment": experiment.text(),
        "conditions": _listed(grid),
        PROGRAMS: json.dumps(dict(setup.programs), sort_keys=True),
        "profiles": ", ".join(f"{name}:{profile.digest}" for name, profile in sorted(profiles.items())),
        "weights": ", ".join(f"{name}:{digest}" for name, digest in sorted(weights.items())),
        "arithmetic": ", ".join(f"{name}:{kind}" for name, kind in sorted(computed.items())),
        "torch": f"{version('torch')} on {setup.device}",
        "ffmpeg": binary.build(),
        "digest": hashlib.sha256(experiment.text().encode()).hexdigest()[:16],
    }


def _notes(profiles: Mapping[str, Profile], backends: Sequence[Backend], experiment: Experiment) -> list[str]:
    notes = [
        f"Codec {name} is your own profile ({profile.origin}), not the one that ships."
        for name, profile in profiles.items()
        if profile.origin != "shipped"
    ]
    for backend in backends:
        notes.append(f"Back-end {backend.name}: {backend.trained_on} (weights {backend.weights}).")
    drawn = [backend.name for backend in backends if backend.trained_on.startswith(DRAWN)]
    if drawn and not is_embedded(experiment.dataset.name):
        notes.append(
            f"{', '.join(drawn)} learned on drawn faces alone, which says little of real ones: `--backend expression` "
            "(or landmarks, identity) learned on these."
        )
    if "frame" in experiment.region and experiment.boxes == "decoded":
        notes.append(
            "Region frame: faces are found in the decoded pictures; where the detector misses, the last box is held."
        )
    elif "frame" in experiment.region:
        notes.append(
            "Region frame: face boxes are taken as sent beside the video; their bits are not in the rate."
        )
    return notes


def select_clips(dataset: Dataset, choice: DatasetChoice) -> tuple[list[ClipInfo], str]:
    """The clips of an experiment, and their partition.

    Without a partition it is that of the clips that are named; else test, unless there is none, or the set has dev and
    its test has no labels.

    Raises
    ------
    InputError
        If a clip does not exist, or none is left.
    """
    index = dataset.index()
    partition = choice.partition or _default_partition(dataset, index)
    if not choice.clips:
        inside = [info for info in index if info.partition == partition]
    elif choice.partition:
        inside = _named(dataset, [info for info in index if info.partition == partition], choice)
    else:
        inside = _named(dataset, index, choice)
        found = {info.partition for info in inside}
        if len(found) > 1:
            # A glob means the usual partition where that has any, a name its clip.
            usual = [info for info in inside if info.partition == partition or info.name in choice.clips]
            inside = usual or inside
            found = {info.partition for info in inside}
        if len(found) > 1:
            raise InputError(
                f"The clips are in several partitions of {dataset.name!r} ({', '.join(sorted(found))}), which no curve "
                "takes together; choose one with --partition."
            )
        partition = found.pop() if found else partition
    if not inside:
        there = sorted({info.partition for info in index})
        raise InputError(
            f"Dataset {dataset.name!r} has no clip in partition {partition}; it has {', '.join(there) or 'none'}."
        )
    return inside, partition


def _named(dataset: Dataset, index: Sequence[ClipInfo], choice: DatasetChoice) -> list[ClipInfo]:
    """The clips that an experiment names, in the order of its names."""
    names = {info.name: info for info in index}
    chosen: dict[str, ClipInfo] = {}
    for pattern in choice.clips:
        matching = [pattern] if pattern in names else fnmatch.filter(names, pattern)
        if not matching:
            where = f" in partition {choice.partition}" if choice.partition else ""
            raise InputError(
                f"Dataset {dataset.name!r} has no clip {pattern!r}{where}{did_you_mean(pattern, names) or '.'}"
            )
        chosen.update((name, names[name]) for name in matching)
    return list(chosen.values())


def _default_partition(dataset: Dataset, index: Sequence[ClipInfo]) -> str:
    present = {info.partition for info in index}
    if "test" not in present:
        return "dev" if "dev" in present else "train"
    return "test" if "dev" not in present or dataset.has_labels("test") else "dev"
