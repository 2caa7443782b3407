"""How the tests cut the tiny preset short, as settings and as flags."""

SETTINGS = {"epochs": 3, "steps_per_epoch": 8, "base_channels": 8}
FLAGS = ["--epochs", "3", "--steps-per-epoch", "8", "--base-channels", "8"]
