"""A run of the tiny preset of each example, which all tests share."""

from dataclasses import replace
from importlib import import_module

from common.training.run_directory import RunDirectory
from tests.shared_folder import filled_once


def trained_run(tmp_path_factory, example: str) -> RunDirectory:
    """Return a copy of the run, cut short as tests/EXAMPLE/tiny.py says; translation is trained to its end."""
    settings = {} if example == "nmt_attention" else import_module(f"tests.{example}.tiny").SETTINGS
    preset = import_module(f"examples.{example}.config").PRESETS["tiny"]

    def fill(folder):
        import_module(f"examples.{example}.train").train(replace(preset, run_dir=folder, **settings))

    return RunDirectory(filled_once(tmp_path_factory, example, fill))
