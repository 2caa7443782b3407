"""How the tests cut the tiny preset short, as settings and as flags."""

SETTINGS = {"epochs": 2, "steps_per_epoch": 25}
FLAGS = ["--epochs", "2", "--steps-per-epoch", "8"]
