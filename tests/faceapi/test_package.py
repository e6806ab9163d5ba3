from __future__ import annotations

import io
import shutil
import tarfile

import pytest

from rdbench.cache import is_sound
from rdbench.errors import InputError
from rdbench.faceapi import package
from rdbench.faceapi.package import FILES, fetch, find_npm, is_complete, missing, read_file

NAMES = ("expression", "landmarks", "identity")


@pytest.fixture
def apart(monkeypatch, tmp_path):
    """A cache of its own, empty."""
    monkeypatch.setenv("RDBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def brought(face_weights, apart, tmp_path):
    """What somebody took along: the package's folder as npm unpacks it, out of the session's cache."""
    inside = tmp_path / "brought" / "package" / "model"
    inside.mkdir(parents=True)
    for name in FILES:
        shutil.copy(face_weights / "weights" / "face-api-1.7.15" / name, inside)
    return tmp_path / "brought"


def archive_of(folder, names, place, prefix="package/model/"):
    with tarfile.open(place, "w:gz") as archive:
        for name in names:
            archive.add(folder / "package" / "model" / name, prefix + name)
    return place


@pytest.mark.parametrize("inside", ["", "package", "package/model"])
def test_a_folder_that_was_brought_along_serves_offline(brought, monkeypatch, inside):
    monkeypatch.setattr(package, "find_npm", lambda: pytest.fail("npm was asked"))
    assert missing(NAMES)
    fetch(brought / inside)
    assert is_complete()
    assert not missing(NAMES)
    assert all(is_sound(package.folder() / name) for name in FILES), "rdbench cache --verify would remove it"


def test_an_archive_that_was_brought_along_serves_too(brought, tmp_path):
    fetch(archive_of(brought, FILES, tmp_path / "taken.tgz"))
    assert is_complete()


@pytest.mark.parametrize("name", FILES)
def test_another_file_is_refused_when_it_comes_and_when_it_is_read(brought, name):
    fetch(brought)
    for place in (brought / "package" / "model", package.folder()):
        content = bytearray((place / name).read_bytes())
        content[len(content) // 2] ^= 1
        (place / name).write_bytes(bytes(content))
    with pytest.raises(InputError, match="not the file that is expected"):
        fetch(brought)
    with pytest.raises(InputError, match="not the file that is expected"):
        read_file(name, None)
    with pytest.raises(InputError, match="not the file that is expected"):
        read_file(name, brought / "package" / "model")


def test_nothing_is_kept_of_a_package_of_which_a_part_is_wrong(brought):
    (brought / "package" / "model" / list(FILES)[-1]).write_bytes(b"other")
    with pytest.raises(InputError):
        fetch(brought)
    assert not package.folder().exists()


def test_what_is_no_such_package_says_what_was_expected(apart, tmp_path):
    with pytest.raises(InputError, match="does not hold @vladmandic/face-api"):
        fetch(tmp_path)
    (tmp_path / "note.tgz").write_bytes(b"no archive at all")
    with pytest.raises(InputError, match="is not the archive of"):
        fetch(tmp_path / "note.tgz")


def test_an_archive_without_a_file_or_with_a_link_in_its_place_is_refused(brought, tmp_path):
    with pytest.raises(InputError, match="is not the archive of"):
        fetch(archive_of(brought, list(FILES)[:2], tmp_path / "part.tgz"))
    with tarfile.open(tmp_path / "links.tgz", "w:gz") as archive:
        for name in FILES:
            link = tarfile.TarInfo(f"package/model/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
    with pytest.raises(InputError):
        fetch(tmp_path / "links.tgz")
    assert not package.folder().exists()


def test_an_archive_writes_nowhere_but_into_the_cache(brought, tmp_path):
    place = archive_of(brought, FILES, tmp_path / "more.tar")
    with tarfile.open(place.with_suffix(".tar2"), "w") as archive:
        evil = tarfile.TarInfo("../../outside.txt")
        evil.size = 4
        archive.addfile(evil, io.BytesIO(b"evil"))
        for name in FILES:
            archive.add(brought / "package" / "model" / name, f"package/model/{name}")
    before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
    fetch(place.with_suffix(".tar2"))
    assert {path for path in tmp_path.rglob("*") if "cache" not in path.parts} == before


def test_without_npm_it_says_what_to_do(apart, monkeypatch):
    monkeypatch.setattr(package, "find_npm", lambda: None)
    with pytest.raises(
        InputError, match=r"no npm .*pip install 'rdbench\[faces\]'.*`rdbench fetch --from DIR`"
    ):
        fetch()


def test_an_npm_that_fails_is_quoted(apart, monkeypatch, tmp_path):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho getaddrinfo ENOTFOUND >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr(package, "find_npm", lambda: str(npm))
    with pytest.raises(InputError, match=r"failed \(getaddrinfo ENOTFOUND\).*rdbench fetch --from DIR"):
        fetch()


def test_npm_is_found_beside_this_python(monkeypatch, tmp_path):
    (tmp_path / "npm").write_text("")
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(package.sys, "executable", str(tmp_path / "python"))
    assert find_npm() == str(tmp_path / "npm")


def test_only_what_is_asked_for_is_missing(brought):
    assert missing(["landmarks"])
    assert not missing(["direct@lite", ""])
    assert not missing(["landmarks"], brought / "package" / "model")
