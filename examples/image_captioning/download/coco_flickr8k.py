"""Flickr8k and MS-COCO: where they are published, and how their captions, splits and photos are laid out.

**Flickr8k** is two zip files: 8,000 photos, five captions each, and the official split. **MS-COCO** has over 100,000
photos in archives of many gigabytes; so only its list of captions is downloaded as a whole, and then, one by one, the
photos that are asked for.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.data.archives import extract
from common.data.download import Resource, cache_dir, derived_dir, fetch
from common.data.images import read_image
from common.data.parallel_download import download_many
from common.data.text_files import read_text
from common.errors import UserError
from common.io.terminal import echo
from examples.image_captioning.download.image_files import Photo, Split
from examples.image_captioning.download.image_folder import coco_entries

_FLICKR8K = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/"
FLICKR8K_PHOTOS = Resource(
    path="Flickr8k_Dataset.zip",
    url=_FLICKR8K + "Flickr8k_Dataset.zip",
    size=1_115_419_746,
    md5="f18a1e2920de5bd84dae7cf08ec78978",
    members={"Flicker8k_Dataset/1000268201_693b08cb0e.jpg": None},  # a copy with smaller photos, or fewer, is as good
    licence="research only",
)
FLICKR8K_LISTS: dict[Split, str] = {
    "train": "Flickr_8k.trainImages.txt", "validation": "Flickr_8k.devImages.txt", "test": "Flickr_8k.testImages.txt"
}  # fmt: skip
FLICKR8K_CAPTIONS = "Flickr8k.token.txt"
FLICKR8K_TEXT = Resource(
    path="Flickr8k_text.zip",
    url=_FLICKR8K + "Flickr8k_text.zip",
    size=2_340_801,
    md5="bf6c1abcb8e4a833b7f922104de18627",
    members=dict.fromkeys([FLICKR8K_CAPTIONS, *FLICKR8K_LISTS.values()]),
    licence="research only",
)
COCO_PHOTOS = "https://s3.amazonaws.com/images.cocodataset.org/"  # whose own name has no certificate
COCO_ANNOTATIONS = Resource(
    path="coco/annotations_trainval2017.zip",
    url=COCO_PHOTOS + "annotations/annotations_trainval2017.zip",
    size=252_907_541,
    sha256="113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
    licence="CC BY 4.0",
)


def load_flickr8k(data_dir: Path | None = None) -> list[Photo]:
    """Return the photos of the official splits that are in the zip, and say how many are not.

    Raises:
        UserError: a zip cannot be had, or a split for training or validation has no photo at all.
    """
    photos_folder, text_folder = (_extracted(fetch(zipped, data_dir)) for zipped in (FLICKR8K_PHOTOS, FLICKR8K_TEXT))
    captions: dict[str, list[str]] = {}
    for line in read_text(text_folder / FLICKR8K_CAPTIONS).removesuffix("\n").split("\n"):
        name, _, caption = line.partition("\t")
        captions.setdefault(name.partition("#")[0], []).append(caption)
    there = {path.name: path for path in photos_folder.rglob("*.jpg")}
    photos: list[Photo] = []
    for split, listing in FLICKR8K_LISTS.items():
        names = read_text(text_folder / listing).split()
        found = [
            Photo(name, captions[name], split, there[name]) for name in names if name in there and name in captions
        ]
        if len(found) < len(names):
            echo(f"flickr8k: {len(names) - len(found):,} of the {len(names):,} photos listed for {split} are not there")
        photos += found
    return photos


def _extracted(archive: Path) -> Path:
    """Return the folder, in the user's cache because that of the archive may be read-only, with what is in it."""
    target = derived_dir() / f"{archive.stem}-{archive.stat().st_size}"
    return extract(archive, target, max_bytes=4 << 30, max_members=20_000)


# Of COCO, the photos that are there already come first; a second run therefore downloads only what the first one could
# not get. Its training photos are in `train2017`, those for validation in `val2017`; the small `val2017` alone, split
# in ten, makes a data set as well.
def load_coco(images: int, data_dir: Path | None = None, only_val: bool = False) -> list[Photo]:
    """Return `images` photos of MS-COCO 2017 for training and a tenth as many for validation.

    Args:
        images: how many; fewer if there are fewer.
        data_dir: the download cache; photos are in coco/train2017 and coco/val2017 below it, and are downloaded there.
        only_val: take all from val2017, the annotations of which are a tenth as large; a tenth of them validate.

    Raises:
        UserError: no annotations, or no photo at all.
    """
    folder = cache_dir(data_dir) / "coco"
    if only_val:
        step = 10 if images >= 10 else 2
        return _coco_photos(folder, "val2017", images, lambda number: "train" if number % step else "validation")
    training = _coco_photos(folder, "train2017", images, lambda _: "train")
    return training + _coco_photos(folder, "val2017", max(1, images // 10), lambda _: "validation")


def _coco_photos(folder: Path, part: str, images: int, split_of: Callable[[int], Split]) -> list[Photo]:
    """Return `images` photos of a part of COCO, downloaded; `split_of` maps the number of each to its split."""
    captions = read_coco_captions(_annotations(folder, f"captions_{part}.json"))
    names = [*map(str, np.random.default_rng(1).permutation(sorted(captions)))]
    there = {entry.name for entry in os.scandir(folder / part)} if (folder / part).is_dir() else set()
    kept = set(sorted(names, key=lambda name: name not in there)[:images])  # those there first
    chosen = [name for name in names if name in kept]  # the same order whatever was there
    failed = download_many(
        {folder / part / name: f"{COCO_PHOTOS}{part}/{name}" for name in chosen}, read_image, f"{part} photos"
    )
    if len(failed) == len(chosen):
        reason = next(iter(failed.values()), "there is none in the annotations")
        raise UserError(
            f"no photo of {part} can be had: {reason}; put photos into {folder / part}, or check the network"
        )
    if failed:
        echo(
            f"coco: {len(failed):,} of {len(chosen):,} photos of {part} cannot be had; the same command tries again, "
            "with --fresh once training has begun without them"
        )
        for path, reason in list(failed.items())[:10]:
            echo(f"  {path.name}: {reason}")
    return [
        Photo(name, captions[name], split_of(number), folder / part / name)
        for number, name in enumerate(chosen)
        if folder / part / name not in failed
    ]


def _annotations(folder: Path, name: str) -> Path:
    """Return the path of an annotation file: one that is there, else from the published zip."""
    unpacked = folder / "annotations" / name
    if unpacked.is_file():
        return unpacked
    archive = fetch(COCO_ANNOTATIONS, folder.parent)
    return _extracted(archive) / "annotations" / name


def read_coco_captions(path: Path) -> dict[str, list[str]]:
    """Return the captions of each file name in a file of COCO's format.

    Raises:
        UserError: it is none.
    """
    try:
        entries = coco_entries(json.loads(read_text(path)))
        captions = {str(entry["image"]): [*map(str, entry["captions"])] for entry in entries}
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: not in the format of COCO's captions ({error!r}); download it again") from error
    outside = [name for name in captions if Path(name).name != name]
    if outside:
        raise UserError(f"{path}: file name {outside[0]!r} leads out of the folder of photos; download it again")
    return captions
