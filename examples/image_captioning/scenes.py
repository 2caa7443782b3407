# %% [markdown]
# ### Scenes that the code draws
#
# To see whether a captioner works at all takes no photos. A scene has one or two coloured shapes, and its description
# is a fact: *a red circle left of a blue square*. So is the box around each shape, which lets us check whether the
# model looks at the things that it names. Two shapes can be described from either end, and both descriptions are given.
#
# The scenes held out show **pairs that no training scene shows**: a model that has seen red circles left of green
# squares and blue squares above yellow triangles must put the words together anew.

# %%
"""The tiny data set: coloured shapes, their descriptions and their boxes, drawn from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SIZE = 64  # pixels, width and height of a scene
COLOURS = {
    "red": (214, 40, 40), "blue": (29, 78, 216), "green": (22, 140, 70), "yellow": (240, 190, 20),
    "purple": (147, 51, 190),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle")
RELATIONS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
_OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
_SCALE = 4  # drawn so many times larger and then shrunk, for smooth edges

Box = tuple[float, float, float, float]
"""left, top, right, bottom"""


@dataclass(frozen=True)
class Thing:
    """A coloured shape and its place, in pixels of the scene."""

    colour: str
    shape: str
    box: Box

    @property
    def name(self) -> str:
        """What it is called, for instance "a red circle"."""
        return f"a {self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """One or two things; with two, the first stands in `relation` to the second."""

    things: Sequence[Thing]
    relation: str = ""

    @property
    def captions(self) -> list[str]:
        """Every true description, each as good as the other."""
        if len(self.things) == 1:
            return [self.things[0].name]
        first, second = self.things
        return [
            f"{first.name} {self.relation} {second.name}",
            f"{second.name} {_OPPOSITE[self.relation]} {first.name}",
        ]

    def boxes(self) -> dict[str, list[Box]]:
        """Return for each shape's name the boxes of the things of that shape."""
        found: dict[str, list[Box]] = {}
        for thing in self.things:
            found.setdefault(thing.shape, []).append(thing.box)
        return found

    def draw(self) -> Image.Image:
        """Return the scene as an RGB picture of `SIZE` x `SIZE` pixels."""
        image = Image.new("RGB", (SIZE * _SCALE, SIZE * _SCALE), (238, 238, 232))
        pen = ImageDraw.Draw(image)
        for thing in self.things:
            left, top, right, bottom = (edge * _SCALE for edge in thing.box)
            colour = COLOURS[thing.colour]
            if thing.shape == "circle":
                pen.ellipse((left, top, right, bottom), fill=colour)
            elif thing.shape == "square":
                pen.rectangle((left, top, right, bottom), fill=colour)
            else:
                pen.polygon([((left + right) / 2, top), (right, bottom), (left, bottom)], fill=colour)
        return image.resize((SIZE, SIZE), Image.Resampling.BOX)


def make_scenes(count: int, seed: int, held_out: bool) -> list[Scene]:
    """Return `count` scenes, a fifth of them with one thing; the pairs of held-out scenes are none of the others'."""
    draw = np.random.default_rng([seed, held_out])
    kinds = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    scenes: list[Scene] = []
    while len(scenes) < count:
        first, second = (int(kind) for kind in draw.integers(len(kinds), size=2))
        alone = len(scenes) % 5 == 0
        if first == second or (not alone and _is_held_out(first, second) != held_out):
            continue
        scenes.append(_single(draw, kinds[first]) if alone else _pair(draw, kinds[first], kinds[second]))
    return scenes


def _is_held_out(first: int, second: int) -> bool:
    """Say whether two kinds of things, in either order, are seen together in held-out scenes only."""
    return (first + second) % 5 == 0


def _single(draw: np.random.Generator, kind: tuple[str, str]) -> Scene:
    return Scene([_place(draw, kind, (SIZE / 2, SIZE / 2), spread=16)])


def _pair(draw: np.random.Generator, kind: tuple[str, str], other: tuple[str, str]) -> Scene:
    relation = str(draw.choice(list(RELATIONS)))
    across, down = RELATIONS[relation]
    centre = (SIZE / 2 + draw.uniform(-12, 12) * (down != 0), SIZE / 2 + draw.uniform(-12, 12) * (across != 0))
    places = [(centre[0] + side * 16 * across, centre[1] + side * 16 * down) for side in (1, -1)]
    return Scene(
        [_place(draw, which, place, spread=3) for which, place in zip((kind, other), places, strict=True)], relation
    )


def _place(draw: np.random.Generator, kind: tuple[str, str], centre: tuple[float, float], spread: float) -> Thing:
    radius = draw.uniform(7.5, 9)
    x, y = (position + draw.uniform(-spread, spread) for position in centre)
    return Thing(*kind, (x - radius, y - radius, x + radius, y + radius))
