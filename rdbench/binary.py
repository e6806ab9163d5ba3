"""The FFmpeg that is there: its path, its version, its content, what it knows."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg

from rdbench.errors import EndedError, InputError

__all__ = [
    "asked_to_end",
    "build",
    "executable",
    "field_statistics",
    "fingerprint",
    "has_decoder",
    "header",
    "told",
]

_OLDEST = 6
_PATIENCE = 120.0
_SIGNALLED = 255
_C_LIBRARY = re.compile(r"(ld-|lib(c|m|mvec|dl|rt|pthread|resolv|gcc_s|stdc\+\+)[.-])")


@functools.cache
def executable() -> str:
    """Path of the FFmpeg that comes with imageio-ffmpeg, or of ``$IMAGEIO_FFMPEG_EXE``.

    Raises
    ------
    InputError
        If there is none, or it is no program.
    """
    try:
        path = str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise InputError(
            f"No FFmpeg found ({error}); install imageio-ffmpeg or set IMAGEIO_FFMPEG_EXE."
        ) from error
    program = shutil.which(path)
    if program is None:
        raise InputError(
            f"FFmpeg should be {path!r}, which is no program that can be started; set IMAGEIO_FFMPEG_EXE to one that "
            "is, or unset it."
        )
    # Its children work in other folders than this process.
    return os.path.abspath(program)


@functools.cache
def build() -> str:
    """The build of FFmpeg in use, such as ``n9.0.2-17-g2a571b6068``; bits may differ between builds.

    Raises
    ------
    InputError
        If the program is not FFmpeg, or too old.
    """
    try:
        done = subprocess.run(
            [executable(), "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(
            f"{executable()} cannot be started as FFmpeg ({getattr(error, 'strerror', None) or 'it does not answer'}); "
            "set IMAGEIO_FFMPEG_EXE to FFmpeg, or unset it."
        ) from error
    words = done.stdout.decode("utf-8", "replace").split()
    if done.returncode or words[:2] != ["ffmpeg", "version"] or len(words) < 3:
        raise InputError(
            f"{executable()} is not FFmpeg: it does not tell its version; set IMAGEIO_FFMPEG_EXE to FFmpeg, or unset it."
        )
    number = re.match(r"n?(\d+)\.", words[2])
    if number and int(number[1]) < _OLDEST:
        raise InputError(
            f"{executable()} is FFmpeg {words[2]}; {_OLDEST} or newer is needed: unset IMAGEIO_FFMPEG_EXE, or set it to "
            "a newer one."
        )
    return words[2]


@functools.cache
def has_decoder(name: str) -> bool:
    """Whether FFmpeg has a decoder of this name."""
    return f"Decoder {name} [" in told("-h", f"decoder={name}")


def header(file: Path, formats: str) -> str:
    """What FFmpeg tells of a file before it does anything: streams, tags, side data."""
    return told("-protocol_whitelist", "file", "-format_whitelist", formats, "-i", f"file:{file.resolve()}")


def field_statistics(file: Path, stream: int, formats: str, seconds: int = 10) -> str:
    """What FFmpeg's detector of interlaced pictures counts in the first seconds of a file."""
    whitelists = ("-protocol_whitelist", "file", "-format_whitelist", formats)
    opened = ("-t", str(seconds), "-threads", "1", *whitelists, "-i", f"file:{file.resolve()}")
    return told(*opened, "-map", f"0:{stream}", "-vf", "idet", "-f", "null", "-")


def told(*options: str) -> str:
    """What FFmpeg writes, however it ends, under options that ask something of it.

    Raises
    ------
    EndedError
        If it does not end, or is killed.
    """
    command = [executable(), "-nostdin", "-hide_banner", "-nostats", *options]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EndedError(f"FFmpeg had not ended after {_PATIENCE:.0f} s, and was ended") from error
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    if number := asked_to_end(done.returncode, text) or max(0, -done.returncode):
        raise EndedError(f"FFmpeg was ended by signal {number} while it was asked something")
    return text


def asked_to_end(code: int, log: str) -> int:
    """The signal at which FFmpeg ended in good order, as its exit code and log tell; 0 if it did not."""
    found = re.search(r"received signal (\d+)", log) if code == _SIGNALLED else None
    return int(found[1]) if found else 0


@functools.cache
def fingerprint() -> str:
    """Content hash (16 hex digits) of FFmpeg's executable and of all shared libraries that it loads.

    Two builds may give one version text and unlike bits: distributions link the encoders as libraries of their own.
    """
    digest = hashlib.sha256()
    for file in [Path(executable()), *_libraries()]:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def _libraries() -> list[Path]:
    """Shared libraries of the executable, the C library's own aside, as the system's loader lists them."""
    if sys.platform != "linux":
        return []
    traced = {**os.environ, "LD_TRACE_LOADED_OBJECTS": "1"}
    done = subprocess.run(
        [executable(), "-version"], env=traced, capture_output=True, text=True, errors="replace", check=False
    )
    places = re.findall(r"^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$", done.stdout, re.MULTILINE)
    files = map(Path, sorted(set(places)))
    return [file for file in files if file.is_file() and not _C_LIBRARY.match(file.name)]
