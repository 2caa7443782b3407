"""Group D, data: what cannot be read is named, counted, and left out or refused; what can, means what it should."""

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
import unicodedata
import zlib

import numpy as np
import pytest
from PIL import Image

from common.data import images
from common.data.images import image_paths, read_image
from common.data.skipped import SkippedExamples
from common.data.text_files import normalise, read_text
from common.data.vocabulary import Vocabulary
from common.errors import UserError
from common.training.run_directory import RunDirectory
from examples.dcgan.data import load_images
from examples.image_captioning.download.coco_flickr8k import read_coco_captions
from examples.image_captioning.download.image_files import Photo, hash_photos
from examples.image_captioning.download.image_folder import load_folder
from examples.image_captioning.preprocess import feature_store
from examples.nmt_attention import data as pairs_data
from examples.nmt_attention.download.pair_files import Table
from examples.nmt_attention.preprocess.parallel_corpus import clean_pairs
from examples.text_generation import data as text_data
from tests.downloads import ROOT
from tests.image_captioning.preprocess.test_feature_store import extract, make_photos


def written(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


# Text.


def lines(path):
    return read_text(path).split("\n")


def sentence_pairs(path):
    return pairs_data.load_tables(str(path))["all"].rows


def captions(path):
    return [(photo.name, photo.captions) for photo in load_folder(path, SkippedExamples())]


READERS = pytest.mark.parametrize(
    ("read", "name", "row"),
    [
        (lines, "text.txt", "line {} é"),
        (sentence_pairs, "pairs.tsv", "hé {}.\tél {}."),
        (captions, "captions.tsv", "{}.jpg\tA dög."),
    ],
    ids=["text", "pairs", "captions"],
)


@READERS
@pytest.mark.parametrize(
    "change",
    [
        lambda clean: b"\xef\xbb\xbf" + clean,
        lambda clean: clean.replace(b"\n", b"\r\n"),
        lambda clean: clean.replace(b"\n", b"\r"),
        lambda clean: clean.replace("é".encode(), "e\u0301".encode()),
    ],
    ids=["byte order mark", "CRLF", "lone CR", "decomposed"],
)
def test_d01_the_same_text_written_in_another_way_reads_the_same(tmp_path, read, name, row, change):
    clean = "".join(row.replace("{}", str(number)) + "\n" for number in range(300)).encode()
    expected = read(written(tmp_path / "clean" / name, clean))
    assert len(expected) >= 300
    assert read(written(tmp_path / "other" / name, change(clean))) == expected
    without_end = read(written(tmp_path / "open" / name, clean.removesuffix(b"\n")))
    assert without_end == expected[: len(without_end)] and len(without_end) >= 300


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\0"], ids=ascii)
def test_d01_only_line_ends_end_lines(tmp_path, separator):
    row = f"a{separator}b"
    assert sentence_pairs(written(tmp_path / "p.tsv", f"x\t{row}\ny\tz\n".encode())) == [["x", row], ["y", "z"]]
    content = f"x.jpg\t{row}\n".encode()
    assert captions(written(tmp_path / "captions.tsv", content)) == [("x.jpg", [row])]


@READERS
@pytest.mark.parametrize("content", [b"", b"\n\r\n  \n", b"\xef\xbb\xbf"], ids=["empty", "blank lines", "mark only"])
def test_d01_nothing_in_the_file(tmp_path, read, name, row, content):
    with pytest.raises(UserError, match=f"{name}: empty"):
        read(written(tmp_path / name, content))


@READERS
@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("eins\tzwei\nf\xfcnf\tsechs\n".encode("latin-1"), "line 2, byte offset 11"),
        ("眼鏡\tめがね\n".encode("shift_jis"), "line 1, byte offset 0"),
        (b"x\ty\xc3", "line 1, byte offset 3"),
    ],
    ids=["Latin-1", "Shift-JIS", "cut"],
)
def test_d02_other_encodings_are_located(tmp_path, read, name, row, content, place):
    with pytest.raises(UserError, match=f"{name}: {place}: expected UTF-8"):
        read(written(tmp_path / name, content))


def test_d01_nothing_to_read(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_text(tmp_path / "missing.txt")
    with pytest.raises(UserError, match="holds no .txt"):
        read_text(tmp_path)
    (tmp_path / "blank.txt").write_text("\ufeff \r\n")
    with pytest.raises(UserError, match="empty"):
        read_text(tmp_path / "blank.txt")


@READERS
def test_d10_marks_without_end_are_refused_with_their_line(tmp_path, read, name, row):
    """To sort them takes time that grows with their square: minutes for a megabyte."""
    marks = "\u0316\u0301" * 200_000
    with pytest.raises(UserError, match=f"{name}: line 2: expected at most 64 combining marks in a row"):
        read(written(tmp_path / name, f"eins\tzwei\na{marks}\tb\n".encode()))


def test_d10_as_many_marks_as_languages_have_are_read():
    zalgo = "Z" + "\u0316\u0301" * 32
    assert normalise(zalgo) == unicodedata.normalize("NFC", zalgo)
    with pytest.raises(UserError, match="line 3: expected at most 64"):
        normalise(f"a\nb\nc{zalgo[1:]}\u0301")


def test_d10_a_long_line_is_cut_before_it_is_cut_into_tokens(command, trained, capsys):
    """A million marks would take a third of a minute."""
    run = trained("nmt_attention")
    capsys.readouterr()
    assert command("nmt_attention", "translate", "--run", run.path, "!" * 1_000_000) == 0
    assert "cut after 60 of 1,220 or more tokens" in capsys.readouterr().err


GOOD_ROWS = [["Hello.", "Hola."]] * 400


def clean(rows, columns=(2, 1), **options):
    return clean_pairs(Table(rows), columns, 10, "--data x.tsv", **options)


def test_d03_what_is_no_pair_is_skipped_with_its_line_numbers(capsys):
    rows = [*GOOD_ROWS, ["no tab"], ["", "empty"], ["x" * 100_000, "y"], ["a " * 11, "b"]]
    assert clean(rows) == [("Hola.", "Hello.")]
    assert capsys.readouterr().err == (
        "left out: 2 of 404 rows of --data x.tsv cannot be used: line 401: no tab between two columns; line 402: an "
        "empty side\n"
        "left out: 2 of 404 rows of --data x.tsv cannot be used: line 403: longer than 10 words or "
        "200 characters (--max-tokens); line 404: longer than 10 words or 200 characters (--max-tokens)\n"
        "note: 399 pairs of --data x.tsv stand there twice or more; each is used once\n"
    )


def test_d03_more_than_a_twentieth_is_an_error_unless_allowed(capsys):
    rows = [*GOOD_ROWS, *[["no tab"]] * 30]
    with pytest.raises(UserError, match=r"30 of 430 rows .*line 401: no tab.*; and 27 more.*--max-skipped"):
        clean(rows)
    assert clean(rows, max_skipped=0.1) == [("Hola.", "Hello.")]
    with pytest.raises(UserError, match=r"line 1: no column 3; line 2: .* and 397 more"):
        clean(GOOD_ROWS, columns=(1, 3))


def test_d04_a_text_shorter_than_one_window_is_an_error(tmp_path):
    (tmp_path / "short.txt").write_text("too short for a window")
    with pytest.raises(UserError, match="22 characters are too few.*more than 40"):
        text_data.load_corpus(str(tmp_path / "short.txt"), window=40)


def half_red(mode="RGB"):
    """A picture of 6 x 4 pixels whose left half is red, whose right half is white."""
    picture = Image.new("RGB", (6, 4), "white")
    picture.paste("red", (0, 0, 3, 4))
    return picture.convert(mode)


def saved(folder, picture, name, **options):
    picture.save(folder / name, **options)
    return folder / name


def pixel(path, x, y):
    return read_image(path).getpixel((x, y))


# Pictures.


@pytest.mark.parametrize("name", ["p.png", "p.gif", "p.bmp", "p.webp"])
def test_d05_every_format_gives_the_same_picture(tmp_path, name):
    path = saved(tmp_path, half_red(), name, **({"lossless": True} if name.endswith("webp") else {}))
    assert read_image(path).mode == "RGB"
    assert (pixel(path, 0, 0), pixel(path, 5, 0)) == ((255, 0, 0), (255, 255, 255))


def test_d05_cmyk_jpeg_keeps_its_colours(tmp_path):
    red, green, blue = pixel(saved(tmp_path, half_red("CMYK").resize((60, 40)), "p.jpg"), 5, 5)
    assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize("mode", ["1", "L"])
@pytest.mark.parametrize(("options", "grey"), [({}, 0), ({"transparency": 0}, 255)], ids=["opaque", "transparent"])
def test_d05_grey_stays_grey(tmp_path, mode, options, grey):
    picture = read_image(saved(tmp_path, Image.new(mode, (3, 3)), "p.png", **options))
    assert picture.mode == "L" and picture.getpixel((0, 0)) == grey


def test_d05_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = np.array([[0, 0x1234, 0x8000, 0xFFFF]], np.uint16)
    path = saved(tmp_path, Image.fromarray(values), "p.png")
    assert [pixel(path, x, 0) for x in range(4)] == [0, 0x12, 0x80, 0xFF]


def test_d05_transparent_parts_are_white(tmp_path):
    assert pixel(saved(tmp_path, Image.new("RGBA", (2, 2), (255, 0, 0, 0)), "p.png"), 0, 0) == (255, 255, 255)
    assert pixel(saved(tmp_path, Image.new("RGBA", (2, 2), (0, 0, 0, 128)), "h.png"), 0, 0) == (127, 127, 127)
    assert pixel(saved(tmp_path, Image.new("LA", (2, 2), (0, 0)), "g.png"), 0, 0) == 255
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert pixel(saved(tmp_path, palette, "q.png", transparency=1), 0, 0) == (255, 255, 255)


def test_d05_it_is_turned_as_the_camera_was(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # held so that it must be turned a quarter clockwise
    path = saved(tmp_path, half_red(), "p.png", exif=exif)
    assert read_image(path).size == (4, 6)
    assert (pixel(path, 0, 0), pixel(path, 0, 5)) == ((255, 0, 0), (255, 255, 255))


def test_d05_a_name_does_not_say_what_is_inside(tmp_path):
    half_red().save(tmp_path / "p.jpg", "PNG")
    assert pixel(tmp_path / "p.jpg", 0, 0) == (255, 0, 0)


def test_d05_the_first_frame_of_many(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "p.gif", save_all=True, append_images=frames[1:])
    assert pixel(tmp_path / "p.gif", 0, 0) == (255, 0, 0)


def test_d05_a_single_pixel(tmp_path):
    Image.new("RGB", (1, 1), "red").save(tmp_path / "p.png")
    assert load_images(str(tmp_path), image_size=8).train.shape == (1, 8, 8, 3)


def test_d05_bombs_go_off_in_little_memory(tmp_path):
    """8000 x 8000 in 60 KB of PNG, and a header that claims 65000 x 65000, where 100 MB are left."""
    bomb(tmp_path / "large.png")
    png = bytearray((tmp_path / "large.png").read_bytes())
    png[16:24] = (65000).to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    (tmp_path / "claims.png").write_bytes(png)
    assert (tmp_path / "large.png").stat().st_size < 100_000
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom common.errors import UserError\n"
        "from common.data.images import read_image\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000,) * 2)\n"
        "for name in ('large.png', 'claims.png'):\n"
        "    try: read_image(Path(sys.argv[1]) / name)\n"
        "    except UserError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    large, claims = done.stdout.splitlines()
    assert "large.png: 8000 x 8000 pixels" in large and "claims.png: far too many pixels" in claims


def write(content):
    return lambda path: path.write_bytes(content)


def cut_off(path):
    Image.effect_noise((64, 64), 50).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:500])


def bomb(path):
    Image.new("L", (8000, 8000)).save(path, "PNG")


BAD = {
    "empty": (write(b""), "is empty"),
    "html": (write(b"<!DOCTYPE html><p>Please log in"), "HTML"),
    "noise": (write(bytes(range(256))), "not a picture"),
    "cut off": (cut_off, "cut off"),
    "too large": (bomb, "8000 x 8000 pixels, expected at most 50 million"),
}


@pytest.mark.parametrize("case", BAD)
def test_d05_bad_files_are_refused_by_name(tmp_path, case):
    make, message = BAD[case]
    path = tmp_path / "bad.png"
    make(path)
    with pytest.raises(UserError) as refusal:
        read_image(path)
    assert str(path) in str(refusal.value) and message in str(refusal.value)


def test_d05_no_format_beyond_the_list_is_tried(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "p.png", "TGA")
    with pytest.raises(UserError, match="not a picture"):
        read_image(tmp_path / "p.png")


@pytest.mark.parametrize("size", [(1, 30_001), (30_001, 1), (1, 49_999_000)])
def test_d11_a_picture_of_a_pixel_in_width_is_not_taken_for_small(tmp_path, size):
    """Its rows would take gigabytes, and most of a minute: refused before any of it is decoded."""
    header = bytearray(one_row_png())
    header[16:24] = b"".join(side.to_bytes(4, "big") for side in size)
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    (tmp_path / "p.png").write_bytes(header)
    with pytest.raises(UserError, match="p.png: .* on a side; shrink it"):
        read_image(tmp_path / "p.png")


def test_d11_a_panorama_is_read(tmp_path):
    Image.new("L", (30_000, 20)).save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png").size == (30_000, 20)


def one_row_png():
    buffer = io.BytesIO()
    Image.new("L", (3, 1)).save(buffer, "PNG")
    return buffer.getvalue()


def test_d11_a_disk_that_answers_with_an_error_is_not_a_damaged_picture(tmp_path, monkeypatch):
    half_red().save(tmp_path / "p.png")

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(images, "_flatten", fail)
    with pytest.raises(UserError, match="p.png: cannot be read .Input/output error"):
        read_image(tmp_path / "p.png")


# What a folder holds beside plain files.


def secret_of(folder):
    (folder.parent / "secret").mkdir(parents=True)
    (folder.parent / "secret" / "t.txt").write_text("secret")
    half_red().save(folder.parent / "secret" / "p.png")
    return folder.parent / "secret"


@pytest.fixture
def mixed(tmp_path):
    """A folder with a text and a picture, and what must not be read: links out of it, pipes, devices, hidden files."""
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    secret = secret_of(folder)
    for suffix, name in ((".txt", "t.txt"), (".png", "p.png")):
        (folder / f"link{suffix}").symlink_to(secret / name)
        (folder / f"device{suffix}").symlink_to("/dev/zero")
        os.mkfifo(folder / "sub" / f"pipe{suffix}")
        (folder / f".hidden{suffix}").write_bytes((secret / name).read_bytes())
    (folder / "linked folder").symlink_to(secret)
    (folder / "sub" / "good.txt").write_text("good")
    half_red().save(folder / "sub" / "good.png")
    return folder


def test_d12_of_a_folder_plain_files_alone_are_read(mixed):
    assert read_text(mixed) == "good"
    assert image_paths(mixed) == [mixed / "sub" / "good.png"]
    assert load_images(str(mixed), image_size=8).train.shape == (1, 8, 8, 3)


def test_d12_what_the_user_names_may_be_a_link_but_no_pipe(mixed, tmp_path):
    assert read_text(mixed / "link.txt") == "secret" and read_image(mixed / "link.png").size == (6, 4)
    for read, suffix in ((read_text, ".txt"), (read_image, ".png")):
        for path in (mixed / "sub" / f"pipe{suffix}", mixed / f"device{suffix}"):
            with pytest.raises(UserError, match="a pipe or a device"):
                read(path)


def test_d12_a_pipe_among_photos_is_named_and_left_out(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    skipped = SkippedExamples()
    assert hash_photos([Photo("pipe.jpg", ["x"], "train", tmp_path / "pipe.jpg")], skipped) == []
    assert "pipe.jpg: a folder, a pipe or a device" in skipped.reasons[0]


@pytest.mark.parametrize("length", [0, 10, -1])
def test_d14_features_that_were_cut_off_are_computed_again(tmp_path, monkeypatch, length):
    """Not taken for whatever the memory held in their place."""
    monkeypatch.setattr(feature_store, "SHARD", 3)
    photos = make_photos(tmp_path / "photos")
    store, _ = extract(photos, tmp_path)
    before = store.read(np.arange(7))
    content = store.path(1).read_bytes()
    store.path(1).write_bytes(content[:length])
    again, _ = extract(photos, tmp_path)
    assert (again.read(np.arange(7)) == before).all() and again.path(1).read_bytes() == content


GOOD = {"image": "good.jpg", "captions": ["x"]}


def load(folder, entries):
    (folder / "captions.json").write_text(entries if isinstance(entries, str) else json.dumps(entries))
    skipped = SkippedExamples()
    return load_folder(folder, skipped), skipped.reasons


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"image": "../x.jpg", "captions": ["x"]}, "leads out of"),
        ({"image": "/etc/passwd", "captions": ["x"]}, "leads out of"),
        ({"image": "a.jpg", "captions": []}, "no caption"),
        ({"image": "a.jpg", "captions": ["  "]}, "no caption"),
        ({"image": "a.jpg", "captions": [1]}, "list of strings"),
        ({"image": "a.jpg"}, "list of strings"),
        ({"captions": ["x"]}, "expected {image"),
        ("text", "expected {image"),
        ({"image": "a.jpg", "captions": ["x"], "split": "later"}, "'later'"),
    ],
)
def test_d06_a_bad_entry_is_named_and_left_out(tmp_path, entry, message):
    photos, [reason] = load(tmp_path, [GOOD, entry])
    assert [photo.name for photo in photos] == ["good.jpg"] and "entry 2" in reason and message in reason


def test_d06_a_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "album").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (tmp_path / "album" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    _, [reason] = load(tmp_path / "album", [GOOD, {"image": "link.jpg", "captions": ["x"]}])
    assert "leads out of" in reason


@pytest.mark.parametrize("content", ["{", "{}", "[]", "[1]"])
def test_d06_a_list_that_is_none_is_an_error(tmp_path, content):
    with pytest.raises(UserError, match="captions.json"):
        load(tmp_path, content)


@pytest.mark.parametrize("content", ["[]", '{"images": [{"id": 1}], "annotations": []}', "{"])
def test_d06_annotations_that_are_none_are_refused(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match="a.json"):
        read_coco_captions(tmp_path / "a.json")


def test_d06_a_file_name_out_of_the_folder_is_refused(tmp_path):
    content = {"images": [{"id": 1, "file_name": "../x.jpg"}], "annotations": [{"image_id": 1, "caption": "x"}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="leads out"):
        read_coco_captions(tmp_path / "a.json")


def test_d06_a_survey_names_what_is_missing_and_digests_what_is_there(tmp_path):
    (tmp_path / "a.png").write_bytes(b"content")
    photos = [Photo(name, ["x"], "train", tmp_path / name) for name in ("a.png", "gone.png")]
    skipped = SkippedExamples()
    [found] = hash_photos(photos, skipped)
    assert found.name == "a.png" and found.digest == hashlib.sha256(b"content").hexdigest()
    assert len(skipped.reasons) == 1 and "gone.png" in skipped.reasons[0]


@pytest.mark.parametrize("content", ["", "{}", "[]", '["a", "a"]', '["a", 1]', "[1"])
def test_d07_a_damaged_vocabulary_is_named(tmp_path, content):
    (tmp_path / "v.json").write_text(content)
    with pytest.raises(UserError, match=r"v.json: damaged"):
        Vocabulary.load(tmp_path / "v.json")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"example": "toy"'])
def test_d07_a_damaged_config_is_named(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config.json: damaged"):
        RunDirectory.open(tmp_path, "toy")
