"""How the tests of notebooks and READMEs cut the tiny preset short, as settings and as flags."""

SETTINGS = {"epochs": 2, "steps_per_epoch": 30}
FLAGS = ["--epochs", "2", "--steps-per-epoch", "8"]
