"""Data sets of tensorflow-datasets, by name, with one line when one cannot be had."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import tensorflow as tf

from common.data.download import cache_dir
from common.errors import UserError

_NAME = re.compile(r"[a-z]\w*(/[\w-][\w.-]*)?(:\d+\.\d+\.\d+)?", re.ASCII)


def load(name: str, data_dir: Path | None) -> tuple[dict[str, tf.data.Dataset], Any]:
    """Return the splits of a data set in the order train, validation, test, others; and its `DatasetInfo`.

    Args:
        name: as tensorflow-datasets has it, for instance "fashion_mnist".
        data_dir: the download cache; None for the default one.

    Raises:
        UserError: no such data set, or no network; or its files there would import code.
    """
    if not _NAME.fullmatch(name):  # namespaces fetch code, and arguments after a second slash may lead anywhere
        raise UserError(f"--data tfds:{name}: expected NAME, NAME/CONFIG or NAME:VERSION of tensorflow-datasets")
    import tensorflow_datasets as tfds  # here because it takes seconds to import and few runs need it

    try:
        with _own_features_only(tfds.features.FeatureConnector):
            splits, info = tfds.load(name, data_dir=cache_dir(data_dir) / "tensorflow_datasets", with_info=True)
    except Exception as error:  # of many kinds: no such data set, no network, a checksum that differs
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"--data tfds:{name}: cannot be loaded ({reason}); check the name and the network") from error
    order = [split for split in ("train", "validation", "test") if split in splits]
    order += [split for split in splits if split not in order]
    return {split: splits[split] for split in order}, info


@contextmanager
def _own_features_only(connector: type) -> Iterator[None]:
    """Keep a data set on disk, whose features.json names classes, from importing any that is not the library's own."""
    find_class = connector.cls_from_name

    def own_class(name: str) -> type:
        if not name.startswith("tensorflow_datasets."):
            raise ValueError(f"its features name {name!r}, which is code from outside tensorflow_datasets")
        return find_class(name)

    with mock.patch.object(connector, "cls_from_name", own_class):
        yield


def load_splits(name: str, data_dir: Path | None, feature: str) -> list[tf.data.Dataset]:
    """Return the splits of a data set in that order.

    Args:
        name: see `load`; likewise `data_dir`.
        data_dir: the download cache.
        feature: what every example must have, for instance "image".

    Raises:
        UserError: as `load`; or its examples have no such feature.
    """
    splits = list(load(name, data_dir)[0].values())
    features = splits[0].element_spec if splits else {}
    if not isinstance(features, dict) or feature not in features:
        raise UserError(f"--data tfds:{name}: expected examples with a feature called {feature}, got {features}")
    return splits
