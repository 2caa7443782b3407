import json
from pathlib import Path

import pytest

from common.data.skipped import SkippedExamples
from common.errors import UserError
from examples.image_captioning.download.image_folder import load_folder


def load(folder, entries):
    (folder / "captions.json").write_text(entries if isinstance(entries, str) else json.dumps(entries))
    skipped = SkippedExamples()
    return load_folder(folder, skipped), skipped.reasons


def test_a_json_list_gives_photos_captions_and_splits(tmp_path):
    entries = [
        {"image": "a.jpg", "captions": ["One.", "Two."], "split": "train"},
        {"image": "sub/b.jpg", "captions": "Only one.", "split": "Valid"},
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


CAPTIONS = {
    "Kaggle's Flickr8k": ("captions.txt", 'image,caption\na.jpg,A dog, wet .\na.jpg,"A dog, again"\nb.jpg,A cat\n'),
    "Flickr's tokens": ("Flickr8k.token.txt", "a.jpg#0\tA dog, wet .\na.jpg#1\tA dog, again\nb.jpg#0\tA cat\n"),
    "Flickr30k's table": (
        "captions.csv",
        "image_name| comment_number| comment\na.jpg| 0| A dog, wet .\na.jpg| 1| A dog, again\nb.jpg| 0| A cat\n",
    ),
    "a table with a header": ("captions.tsv", "file\ttext\na.jpg\tA dog, wet .\na.jpg\tA dog, again\nb.jpg\tA cat\n"),
    "COCO": (
        "annotations/captions_mine.json",
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
                "annotations": [
                    {"image_id": 1, "caption": "A dog, wet ."},
                    {"image_id": 1, "caption": "A dog, again"},
                    {"image_id": 2, "caption": "A cat"},
                ],
            }
        ),
    ),
}


@pytest.mark.parametrize("case", CAPTIONS)
@pytest.mark.parametrize("photos", [".", "Images"])
def test_captions_in_the_formats_of_others_are_read(tmp_path, case, photos):
    name, content = CAPTIONS[case]
    for path in (tmp_path / name, tmp_path / photos / "a.jpg", tmp_path / photos / "b.jpg"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    for data in (tmp_path, tmp_path / name):
        if data == tmp_path / name and photos == "." and case == "COCO":
            continue  # photos are not searched above the annotations
        found = load_folder(data, skipped := SkippedExamples())
        assert not skipped.reasons
        assert [(photo.name, photo.captions) for photo in found] == [
            ("a.jpg", ["A dog, wet .", "A dog, again"]),
            ("b.jpg", ["A cat"]),
        ]
        assert all(photo.source.is_file() for photo in found)


def test_a_list_in_another_encoding_is_read_if_it_is_named(tmp_path):
    (tmp_path / "captions.tsv").write_bytes("a.jpg\t一只狗在海边跑，旁边没有人。\n".encode("gb18030"))
    with pytest.raises(UserError, match="--encoding gb18030 if"):
        load_folder(tmp_path, SkippedExamples())
    [photo] = load_folder(tmp_path, SkippedExamples(), "gb18030")
    assert photo.captions == ["一只狗在海边跑，旁边没有人。"]


def test_a_list_whose_ending_is_in_capitals_is_json_too(tmp_path):
    listing = tmp_path / "LIST.JSON"
    listing.write_text(json.dumps([{"image": "a.jpg", "captions": ["a dog"]}]))
    [photo] = load_folder(listing, SkippedExamples())
    assert photo.name == "a.jpg" and photo.captions == ["a dog"]


def test_a_photo_of_several_entries_has_all_their_captions(tmp_path):
    entries = [{"image": "a.jpg", "caption": "One."}, {"image": "a.jpg", "caption": "Two."}]
    [photo], bad = load(tmp_path, entries)
    assert not bad and photo.captions == ["One.", "Two."]
    split = [entry | {"split": part} for entry, part in zip(entries, ("train", "test"), strict=True)]
    [photo], bad = load(tmp_path, split)
    assert photo.captions == ["One."] and bad == ["captions.json: entry 2: a.jpg: listed for train and for test"]


@pytest.mark.parametrize("other", ["./a.jpg", ".//a.jpg", ".\\a.jpg"])
def test_a_photo_whose_name_is_written_in_two_ways_is_one(tmp_path, other):
    names = [f"{number}.jpg" for number in range(30)]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    found, bad = load(
        tmp_path, [{"image": n, "caption": n} for name in names for n in (name, other.replace("a.jpg", name))]
    )
    assert not bad and [photo.name for photo in found] == names and all(len(photo.captions) == 2 for photo in found)
    assert {photo.split for photo in found} == {"train", "validation"}


def test_photos_in_several_folders_are_found_and_the_folder_of_most_comes_first(tmp_path):
    for path in ("one/a.jpg", "two/a.jpg", "two/b.jpg", "three/c.jpg"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    found, bad = load(tmp_path, [{"image": f"{letter}.jpg", "captions": ["x"]} for letter in "abcd"])
    places = ["two/a.jpg", "two/b.jpg", "three/c.jpg", "two/d.jpg"]
    assert not bad and [str(photo.source.relative_to(tmp_path)) for photo in found] == places


def test_coco_images_may_have_splits_and_captions_of_missing_ones_are_left_out(tmp_path):
    numbers = {7: "val", 3: "test", 5: None}
    content = {
        "images": [{"id": number, "file_name": f"{number}.jpg", "split": split} for number, split in numbers.items()],
        "annotations": [{"image_id": number, "caption": f"x {number}"} for number in (3, 9, 7, 5, 3)],
    }
    found, [reason] = load(tmp_path, content)
    expected = [("3.jpg", ["x 3", "x 3"], "test"), ("7.jpg", ["x 7"], "validation"), ("5.jpg", ["x 5"], "train")]
    assert [(photo.name, photo.captions, photo.split) for photo in found] == expected
    assert '"image_id": 9, "captions": ["x 9"]' in reason


def test_a_name_with_backslashes_is_that_of_a_file_in_a_folder(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    [photo], _ = load(tmp_path, [{"image": "photos\\a.jpg", "captions": ["x"]}])
    assert photo.source == tmp_path / "photos" / "a.jpg"


def test_a_web_address_is_named_as_such(tmp_path):
    address = "https://example.org/a.jpg"
    _, [reason] = load(tmp_path, [{"image": address, "captions": ["x"]}, {"image": "a.jpg", "captions": ["x"]}])
    assert reason == f"captions.json: entry 1: {address}: a web address; download the picture"


@pytest.mark.parametrize("name", ["captions.jsonl", "metadata.jsonl"])
def test_an_object_in_each_line_is_an_entry(tmp_path, name):
    entries = [{"file_name": "a.jpg", "text": "A\u2028dog"}, {"image": "b.jpg", "captions": ["A cat"], "split": "test"}]
    (tmp_path / name).write_text("\n\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries) + "\n")
    [a, b] = load_folder(tmp_path, SkippedExamples())
    assert (a.name, a.captions) == ("a.jpg", ["A\u2028dog"])
    assert (b.name, b.captions, b.split) == ("b.jpg", ["A cat"], "test")
    (tmp_path / name).write_text("{}\n{")
    with pytest.raises(UserError, match="no list of captions .*line 2"):
        load_folder(tmp_path, SkippedExamples())


def test_several_lists_are_refused_unless_one_of_them_is_known_by_its_name(tmp_path):
    for name in ("a.lemma.token.txt", "b.token.txt", ".hidden.token"):
        (tmp_path / name).write_text("a.jpg#0\tA dog\n")
    with pytest.raises(UserError, match=r"several lists of captions \(a.lemma.token.txt, b.token.txt\); name one"):
        load_folder(tmp_path, SkippedExamples())
    (tmp_path / "Flickr8k.token.txt").write_text("a.jpg#0\tA cat\n")
    assert load_folder(tmp_path, SkippedExamples())[0].captions == ["A cat"]


def test_two_lists_of_known_names_are_refused_and_one_in_capitals_is_found(tmp_path):
    (tmp_path / "Captions.CSV").write_text("a.jpg,A dog\n")
    assert load_folder(tmp_path, SkippedExamples())[0].captions == ["A dog"]
    (tmp_path / "captions.json").write_text("[]")
    with pytest.raises(UserError, match=r"several lists of captions \(Captions.CSV, captions.json\)"):
        load_folder(tmp_path, SkippedExamples())


def test_a_list_that_is_a_link_is_not_read(tmp_path):
    (tmp_path / "private").write_text("a.jpg\tA dog\n")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "captions.tsv").symlink_to(tmp_path / "private")
    with pytest.raises(UserError, match="expected a captions.json"):
        load_folder(tmp_path / "photos", SkippedExamples())


def test_a_photo_whose_name_is_decomposed_on_the_disk_is_found(tmp_path):
    (tmp_path / "caf\u0065\u0301.jpg").write_bytes(b"")
    [photo], _ = load(tmp_path, [{"image": "caf\u00e9.jpg", "captions": ["x"]}])
    assert photo.name == "caf\u00e9.jpg" and photo.source.is_file()


def test_a_folder_without_a_list_is_an_error(tmp_path):
    with pytest.raises(UserError, match="expected a captions.json, captions.tsv"):
        load_folder(tmp_path, SkippedExamples())


def test_the_folder_above_is_listed_for_annotations_only(tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    photos.mkdir()
    listed, iterdir = [], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: listed.append(path) or iterdir(path))
    load(photos, [{"image": "a.jpg", "captions": ["x"]}])
    assert photos in listed and tmp_path not in listed
