"""Data sets of tensorflow-datasets by name, with one-line error messages."""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import requests
import tensorflow as tf

from common.data.download import cache_dir, is_offline
from common.errors import UserError

_NAME = re.compile(r"[a-z]\w*(/[\w-][\w.-]*)?(:\d+\.\d+\.\d+)?", re.ASCII)


def load(name: str, data_dir: Path | None) -> tuple[dict[str, tf.data.Dataset], Any]:
    """Return the splits of a data set, in the order train, validation, others, test, and its `DatasetInfo`.

    `data_dir` is the download cache; None for the default one.

    Raises:
        UserError: there is no such data set, or no network; or its cached files would import code.
    """
    if not _NAME.fullmatch(name):  # namespaces download code, and arguments after a second slash may be any path
        raise UserError(f"tfds:{name}: expected NAME, NAME/CONFIG or NAME:VERSION of tensorflow-datasets")
    import tensorflow_datasets as tfds  # here because the import takes seconds, and few runs need it

    try:
        with _without_foreign_code(tfds.features.FeatureConnector):
            folder = cache_dir(data_dir) / "tensorflow_datasets"
            _require_connection(tfds.builder(name, data_dir=folder))
            splits, info = tfds.load(name, data_dir=folder, with_info=True)
    except Exception as error:  # many types: unknown data set, no network, wrong checksum
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"tfds:{name}: cannot be loaded ({reason}); check the name and the network") from error
    others = [split for split in splits if split not in ("train", "validation", "test")]
    return {split: splits[split] for split in ("train", "validation", *others, "test") if split in splits}, info


def only_test_split(splits: Mapping[str, Any]) -> dict[str, Any]:
    """Return the test split alone, or all splits if there is none."""
    return {"test": splits["test"]} if "test" in splits else dict(splits)


def _require_connection(builder: Any) -> None:
    """Raise an error if a data set must be downloaded and there is no connection; the library tries for minutes."""
    if builder.data_path.exists() or not builder.url_infos:
        return
    if is_offline():
        raise ConnectionError(f"EAGER_EXAMPLES_OFFLINE is set, and it is not in {builder.data_path}")
    requests.head(next(iter(builder.url_infos)), timeout=15)


def _without_foreign_code(connector: type) -> AbstractContextManager:
    """Return a block in which a data set's features.json cannot import classes from outside tensorflow_datasets."""
    find_class = connector.cls_from_name

    def find_library_class(name: str) -> type:
        if not name.startswith("tensorflow_datasets."):
            raise ValueError(f"its features name {name!r}, which is code from outside tensorflow_datasets")
        return find_class(name)

    return mock.patch.object(connector, "cls_from_name", find_library_class)


def load_splits(name: str, data_dir: Path | None, feature: str) -> dict[str, tf.data.Dataset]:
    """Return the splits of a data set, in the order of `load`.

    Raises:
        UserError: as in `load`; or the examples do not have the `feature`, for instance "image".
    """
    splits, _ = load(name, data_dir)
    features = next(iter(splits.values())).element_spec if splits else {}
    if not isinstance(features, dict) or feature not in features:
        raise UserError(f"tfds:{name}: expected examples with a feature called {feature}, got {features}")
    return splits
