"""How the tests of notebooks and READMEs cut the tiny preset short, as settings and as flags."""

SETTINGS = {"epochs": 3}
FLAGS = ["--epochs", "3"]
