import json
import zipfile

import pytest
from PIL import Image

from common.errors import UserError
from examples.image_captioning.download import coco_flickr8k
from examples.image_captioning.download.coco_flickr8k import FLICKR8K_LISTS, load_coco, load_flickr8k
from tests.http_server import FaultServer


@pytest.fixture
def flickr8k(tmp_path):
    """A cache with both zips, cut to four photos of six."""
    first = "1000268201_693b08cb0e.jpg"
    names = {"train": [first, "b.jpg"], "validation": ["c.jpg"], "test": ["d.jpg", "e.jpg", "f.jpg"]}
    Image.new("RGB", (9, 9)).save(tmp_path / "x.jpg")
    with zipfile.ZipFile(tmp_path / "Flickr8k_Dataset.zip", "w") as photos:
        for name in (first, "b.jpg", "c.jpg", "d.jpg"):
            photos.write(tmp_path / "x.jpg", f"Flicker8k_Dataset/{name}")
    lines = [
        f"{name}#{n}\tCaption {n} of {name} .\n" for of_split in names.values() for name in of_split for n in (0, 1)
    ]
    with zipfile.ZipFile(tmp_path / "Flickr8k_text.zip", "w") as text:
        text.writestr("Flickr8k.token.txt", "".join(lines))
        for split, listing in FLICKR8K_LISTS.items():
            text.writestr(listing, "\n".join(names[split]))
    return tmp_path


def test_flickr8k_has_the_official_split_and_counts_what_is_missing(flickr8k, capsys):
    photos = load_flickr8k(flickr8k)
    assert [(photo.name[0], photo.split) for photo in photos] == [
        ("1", "train"), ("b", "train"), ("c", "validation"), ("d", "test")
    ]  # fmt: skip
    assert photos[1].captions == ["Caption 0 of b.jpg .", "Caption 1 of b.jpg ."]
    assert "2 of the 3 photos listed for test are not there" in capsys.readouterr().out
    assert photos[0].source.is_file() and flickr8k not in photos[0].source.parents  # the cache is left as it was


def write_coco(folder, part="val2017", count=12):
    (folder / "coco" / "annotations").mkdir(parents=True, exist_ok=True)
    content = {
        "images": [{"id": n, "file_name": f"{n:03}.jpg"} for n in range(count)],
        "annotations": [{"image_id": n, "caption": f"caption {m}"} for n in range(count) for m in range(5)],
    }
    (folder / "coco" / "annotations" / f"captions_{part}.json").write_text(json.dumps(content))


def write_photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((30, 30), 50).save(path)
    return path


def test_coco_takes_the_photos_that_are_there_first(tmp_path):
    write_coco(tmp_path)
    for number in (3, 5, 7, 11):
        write_photo(tmp_path / "coco" / "val2017" / f"{number:03}.jpg")
    photos = load_coco(4, tmp_path, only_val=True)
    assert sorted(photo.name for photo in photos) == ["003.jpg", "005.jpg", "007.jpg", "011.jpg"]
    assert {photo.split for photo in photos} == {"train", "validation"} and len(photos[0].captions) == 5


@pytest.mark.parametrize("only_val", [True, False])
def test_order_and_splits_do_not_depend_on_which_photos_were_there_before(tmp_path, monkeypatch, only_val):
    for part in ("val2017", "train2017"):
        write_coco(tmp_path, part)

    def load(failing=()):
        def fetch(urls, check, label):
            failed = {path: "404" for path in urls if path.name in failing}
            for path in urls.keys() - failed:
                write_photo(path)
            return failed

        monkeypatch.setattr(coco_flickr8k, "download_many", fetch)
        return [(photo.name, photo.split) for photo in load_coco(12, tmp_path, only_val)]

    whole = load()
    for path in (tmp_path / "coco").glob("*2017/00[05].jpg"):
        path.unlink()
    part = load(failing={"000.jpg", "005.jpg"})
    assert len(part) < len(whole) and part == [photo for photo in whole if photo in part]
    assert load() == whole


def test_coco_photos_are_fetched_and_a_second_run_fetches_only_the_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("EAGER_EXAMPLES_OFFLINE")
    write_coco(tmp_path, count=3)
    body = write_photo(tmp_path / "x.jpg").read_bytes()
    with FaultServer(body) as server:
        base = f"http://127.0.0.1:{server._server.server_port}/"
        monkeypatch.setattr(coco_flickr8k, "COCO_PHOTOS", base)
        handler = server._server.RequestHandlerClass
        well = {"000", "001"}

        def serve(self, name):
            if not name.startswith("serve_val"):
                raise AttributeError(name)
            number = name.removeprefix("serve_val2017/").removesuffix(".jpg")
            return self.serve_ok if number in well else self.serve_404

        monkeypatch.setattr(handler, "__getattr__", serve)
        assert len(load_coco(3, tmp_path, only_val=True)) == 2
        assert "1 of 3 photos of val2017 cannot be had" in (out := capsys.readouterr().out) and "002.jpg" in out
        well.add("002")
        asked = len(server.log)
        assert len(load_coco(3, tmp_path, only_val=True)) == 3 and len(server.log) == asked + 1


def test_coco_without_annotations_or_network_says_what_to_get(tmp_path):
    with pytest.raises(UserError, match="annotations_trainval2017.zip"):
        load_coco(3, tmp_path)


def test_coco_without_any_photo_says_where_to_put_them(tmp_path):
    write_coco(tmp_path)
    with pytest.raises(UserError, match="no photo of val2017 can be had"):
        load_coco(3, tmp_path, only_val=True)
