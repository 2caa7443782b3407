"""How the tests cut the tiny preset short, as settings and as flags."""

SETTINGS = {"epochs": 3, "sample_length": 60}
FLAGS = ["--epochs", "3", "--sample-length", "60"]
