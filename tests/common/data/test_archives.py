"""Extraction of good archives, and digests of their members; the bad ones are in faults/test_b_extraction.py."""

import hashlib
import os
import re

import pytest

from common.data import archives
from common.data.archives import extract, member_digests
from common.errors import UserError
from tests.archive_files import CONTENT, MANY, unpack, write_zip

# Good archives.


def test_extract(path):
    target = unpack(write_zip(path, list(CONTENT.items())))
    assert target == path.parent / "target"
    assert {name: (target / name).read_bytes() for name in CONTENT} == CONTENT
    assert sorted(os.listdir(path.parent)) == ["archive", "target"]


def test_folders_and_long_names(path):
    name = "/".join(["folder" * 10] * 5) + "/file.txt"
    target = unpack(write_zip(path, [("set/", b""), (name, b"1"), ("set/ünïcødé.txt", b"2")]))
    assert (target / name).read_bytes() == b"1" and (target / "set/ünïcødé.txt").read_bytes() == b"2"


def test_target_that_cannot_be_created(path):
    write_zip(path, MANY)
    with pytest.raises(UserError, match=re.escape(str(path / "sub" / "target"))):
        extract(path, path / "sub" / "target", max_bytes=10**6, max_members=100)


# Digests of members.


def test_member_digests(path):
    write_zip(path, list(CONTENT.items()))
    found = member_digests(path, ["set/a.txt", "set/sub/b.bin", "set/other", "set"])
    expected = {name: hashlib.sha256(CONTENT[name]).hexdigest() for name in ("set/a.txt", "set/sub/b.bin")}
    assert found == {**expected, "set/other": None, "set": None}


def test_member_digests_know_no_folders(path):
    assert member_digests(write_zip(path, [("set/", b"")]), ["set"]) == {"set": None}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_member_digests_refuse_what_extract_refuses(path):
    write_zip(path, [("a", b"one"), ("a", b"two")])
    with pytest.raises(UserError, match="is a duplicate"):
        member_digests(path, ["a"])
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match="not a readable zip"):
        member_digests(path, ["a"])


def test_member_digests_have_a_budget(path, monkeypatch):
    monkeypatch.setattr(archives, "_MAX_BYTES", 9000)
    write_zip(path, [("a", bytes(5000)), ("b", bytes(5000))])
    with pytest.raises(UserError, match="exceeds the 9000 bytes"):
        member_digests(path, ["a", "b"])
