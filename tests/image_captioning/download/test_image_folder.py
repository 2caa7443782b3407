import json

import pytest

from common.errors import UserError
from examples.image_captioning.download.image_files import SkippedExamples
from examples.image_captioning.download.image_folder import load_folder


def load(folder, entries):
    (folder / "captions.json").write_text(entries if isinstance(entries, str) else json.dumps(entries))
    skipped = SkippedExamples()
    return load_folder(folder, skipped), skipped.reasons


def test_a_json_list_gives_photos_captions_and_splits(tmp_path):
    entries = [
        {"image": "a.jpg", "captions": ["One.", "Two."], "split": "train"},
        {"image": "sub/b.jpg", "captions": "Only one.", "split": "dev"},
        {"image": "c.jpg", "captions": ["x"]},
    ]
    [a, b, c], bad = load(tmp_path, entries)
    assert not bad and (a.name, list(a.captions), a.split, a.source) == (
        "a.jpg",
        ["One.", "Two."],
        "train",
        tmp_path / "a.jpg",
    )
    assert (list(b.captions), b.split) == (["Only one."], "validation") and c.split in ("train", "validation")


def test_a_table_of_two_columns_gathers_the_captions_of_a_photo(tmp_path):
    (tmp_path / "captions.tsv").write_text("a.jpg\tOne.\nb.jpg\tOther.\r\n\na.jpg\tTwo.\nbare.jpg\n")
    skipped = SkippedExamples()
    photos = load_folder(tmp_path, skipped)
    assert [(photo.name, list(photo.captions)) for photo in photos] == [
        ("a.jpg", ["One.", "Two."]),
        ("b.jpg", ["Other."]),
    ]
    assert len(skipped.reasons) == 1 and "bare.jpg: no caption" in skipped.reasons[0]


def test_a_folder_without_a_list_is_an_error(tmp_path):
    with pytest.raises(UserError, match="captions.json or a captions.tsv"):
        load_folder(tmp_path, SkippedExamples())
