"""The tiny data set: coloured shapes, their captions and their boxes, drawn from a seed.

Photos are not needed to test a captioner. A scene has one or two coloured shapes and an exact caption: *a red circle
left of a blue square*. The boxes around the shapes are known, which shows whether attention points at the shapes that
the caption names. Two shapes can be described in either order, and both captions are given.

The held-out scenes show **pairs of shapes that are in no training scene**: the model must generalise to new
combinations of known shapes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from common.errors import UserError

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
class Shape:
    """A coloured shape and its box, in pixels of the scene."""

    colour: str
    kind: str
    box: Box

    def __post_init__(self):
        if self.colour not in COLOURS or self.kind not in SHAPES:
            raise UserError(f"expected one of {', '.join(COLOURS)}, and of {', '.join(SHAPES)}, got {self.name}")

    @property
    def name(self) -> str:
        """The name, for instance "a red circle"."""
        return f"a {self.colour} {self.kind}"


@dataclass(frozen=True)
class Scene:
    """One or two shapes; with two, the first stands in `relation` to the second."""

    shapes: Sequence[Shape]
    relation: str = ""

    @property
    def captions(self) -> list[str]:
        """All true captions."""
        if len(self.shapes) == 1:
            return [self.shapes[0].name]
        first, second = self.shapes
        return [
            f"{first.name} {self.relation} {second.name}",
            f"{second.name} {_OPPOSITE[self.relation]} {first.name}",
        ]

    def boxes(self) -> dict[str, list[Box]]:
        """Return for each shape's name the boxes of the shapes of that shape."""
        found: dict[str, list[Box]] = {}
        for shape in self.shapes:
            found.setdefault(shape.kind, []).append(shape.box)
        return found

    def draw(self) -> Image.Image:
        """Return the scene as an RGB picture of `SIZE` x `SIZE` pixels."""
        image = Image.new("RGB", (SIZE * _SCALE, SIZE * _SCALE), (238, 238, 232))
        pen = ImageDraw.Draw(image)
        for shape in self.shapes:
            left, top, right, bottom = (edge * _SCALE for edge in shape.box)
            colour = COLOURS[shape.colour]
            if shape.kind == "circle":
                pen.ellipse((left, top, right, bottom), fill=colour)
            elif shape.kind == "square":
                pen.rectangle((left, top, right, bottom), fill=colour)
            else:
                pen.polygon([((left + right) / 2, top), (right, bottom), (left, bottom)], fill=colour)
        return image.resize((SIZE, SIZE), Image.Resampling.BOX)


def make_scenes(count: int, seed: int, held_out: bool) -> list[Scene]:
    """Return `count` scenes, a fifth of them with one shape; the pairs of held-out scenes are none of the others'."""
    draw = np.random.default_rng([seed, held_out])
    kinds = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    scenes: list[Scene] = []
    while len(scenes) < count:
        first, second = (int(kind) for kind in draw.integers(len(kinds), size=2))
        alone = len(scenes) % 5 == 0
        for_held_out = (first + second) % 5 == 0  # whether these two, in either order, are in held-out scenes only
        if first == second or (not alone and for_held_out != held_out):
            continue
        if alone:
            scenes.append(Scene([_place(draw, kinds[first], (SIZE / 2, SIZE / 2), jitter=16)]))
        else:
            scenes.append(_pair(draw, kinds[first], kinds[second]))
    return scenes


def _pair(draw: np.random.Generator, kind: tuple[str, str], other: tuple[str, str]) -> Scene:
    relation = str(draw.choice(list(RELATIONS)))
    across, down = RELATIONS[relation]
    centre = (SIZE / 2 + draw.uniform(-12, 12) * (down != 0), SIZE / 2 + draw.uniform(-12, 12) * (across != 0))
    places = [(centre[0] + side * 16 * across, centre[1] + side * 16 * down) for side in (1, -1)]
    return Scene(
        [_place(draw, which, place, jitter=3) for which, place in zip((kind, other), places, strict=True)], relation
    )


def _place(draw: np.random.Generator, kind: tuple[str, str], centre: tuple[float, float], jitter: float) -> Shape:
    radius = draw.uniform(7.5, 9)
    x, y = (position + draw.uniform(-jitter, jitter) for position in centre)
    return Shape(*kind, (x - radius, y - radius, x + radius, y + radius))
