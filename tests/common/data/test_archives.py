"""Extraction of good archives, and digests of their members; the bad ones are in faults/test_b_extraction.py."""

import hashlib
import os
import re
import tarfile

import pytest

from common.data.archives import extract, member_digests
from common.errors import UserError
from tests.archive_files import CONTENT, MANY, WRITERS, special, unpack, write_special, write_tar, write_zip

# Good archives.


@WRITERS
def test_extract(path, write):
    target = unpack(write(path, list(CONTENT.items())))
    assert target == path.parent / "target"
    assert {name: (target / name).read_bytes() for name in CONTENT} == CONTENT
    assert sorted(os.listdir(path.parent)) == ["archive", "target"]


def test_tar_with_folders_and_long_names(path):
    name = "/".join(["folder" * 10] * 5) + "/file.txt"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(special("set", tarfile.DIRTYPE, mode=0o755))
        archive.addfile(special(name, tarfile.REGTYPE))
        archive.addfile(special("set/ünïcødé.txt", tarfile.REGTYPE))
    target = unpack(path)
    assert (target / name).is_file() and (target / "set/ünïcødé.txt").is_file()


def test_tar_that_ends_in_a_zip_is_a_tar(path):
    inner = write_zip(path, [("inner", b"inner")]).read_bytes()
    assert os.listdir(unpack(write_tar(path, [("set.zip", inner)]))) == ["set.zip"]


def test_target_that_cannot_be_created(path):
    write_zip(path, MANY)
    with pytest.raises(UserError, match=re.escape(str(path / "sub" / "target"))):
        extract(path, path / "sub" / "target", max_bytes=10**6, max_members=100)


# Digests of members.


@WRITERS
def test_member_digests(path, write):
    write(path, list(CONTENT.items()))
    found = member_digests(path, ["set/a.txt", "set/sub/b.bin", "set/other", "set"])
    expected = {name: hashlib.sha256(CONTENT[name]).hexdigest() for name in ("set/a.txt", "set/sub/b.bin")}
    assert found == {**expected, "set/other": None, "set": None}


def test_member_digests_know_no_folders(path):
    assert member_digests(write_zip(path, [("set/", b"")]), ["set"]) == {"set": None}
    assert member_digests(write_special(path, special("set", tarfile.DIRTYPE)), ["set"]) == {"set": None}


def test_member_digests_refuse_what_extract_refuses(path):
    write_tar(path, [("a", b"one"), ("a", b"two")])
    with pytest.raises(UserError, match="is a duplicate"):
        member_digests(path, ["a"])
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match="not a readable zip or tar"):
        member_digests(path, ["a"])


@WRITERS
def test_member_digests_have_a_budget(path, write):
    write(path, [("a", bytes(5000)), ("b", bytes(5000))])
    with pytest.raises(UserError, match="exceeds the 9000 bytes"):
        member_digests(path, ["a", "b"], max_bytes=9000)
