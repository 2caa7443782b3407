"""Pictures that a command writes for the user, without overwriting any other file.

Each picture has a mark in its metadata: a digest of its source. So a repeated command replaces its own files, and
detects all others.
"""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from common.data.images import image_bytes
from common.errors import UserError
from common.io.files import open_plain, write_atomically
from common.viz.figures import gif_bytes

_PROGRAM = "eager-examples"
_READABLE = ("PNG", "GIF")


class Outputs:
    """The pictures that one command writes into a folder.

    Example:
        outputs = Outputs(folder, maker=run.identity, overwrite=False)
        outputs.require_free(["0001.png"], source="a sentence")
        outputs.save_png("0001.png", picture, source="a sentence")
    """

    def __init__(self, folder: Path, maker: str, overwrite: bool = False):
        """Write into `folder`, which is created when necessary; `overwrite` replaces files of other programs too.

        `maker` identifies the origin of the pictures, for instance the identity of a run.
        """
        self.folder, self.maker, self.overwrite = Path(folder), maker, overwrite

    def mark(self, source: object) -> str:
        """Return the mark of a picture made from `source`: a digest, so that it does not reveal the source."""
        digest = hashlib.sha256(f"{self.maker}\n{source}".encode(errors="surrogateescape")).hexdigest()
        return f"{_PROGRAM} {digest[:32]}"

    def require_free(self, names: Iterable[str], source: object) -> None:
        """Check that each file does not exist, or was made from the same `source`.

        Raises:
            UserError: a file exists and was not, and `overwrite` is False.
        """
        for name in names:
            path = self.folder / name
            if not self.overwrite and _mark_of(path) not in (None, self.mark(source)):
                raise UserError(
                    f"{path}: there already, and not written by this command; name another folder, or add --overwrite "
                    "to replace it"
                )

    def free_stem(self, stem: str, suffixes: Sequence[str], source: object) -> str:
        """Return the first of `stem`, `stem_2`, `stem_3`, ... that outputs of other sources do not use.

        Raises:
            UserError: a file of that name is not an output of this program.
        """
        for number in itertools.count(1):
            numbered = stem if number == 1 else f"{stem}_{number}"
            names = [numbered + suffix for suffix in suffixes]
            marks = {_mark_of(self.folder / name) for name in names} - {None, self.mark(source)}
            if not any(mark.startswith(_PROGRAM) for mark in marks):
                self.require_free(names, source)
                return numbered

    def save_png(self, name: str, picture: Image.Image, source: object) -> Path:
        """Write a picture made from `source` and return its path."""
        info = PngInfo()
        info.add_text("Software", self.mark(source))
        return self._write(name, image_bytes(picture, "PNG", pnginfo=info))

    def save_gif(self, name: str, frames: Sequence[Image.Image], source: object, **options: int) -> Path:
        """Write frames made from `source` as a GIF, with the options of `gif_bytes`, and return its path."""
        return self._write(name, gif_bytes(frames, comment=self.mark(source), **options))

    def _write(self, name: str, content: bytes) -> Path:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / name, content)
        except OSError as error:
            raise UserError(
                f"{self.folder / name}: cannot be written ({error.strerror or error}); name another folder"
            ) from error
        return self.folder / name


def _mark_of(path: Path) -> str | None:
    """Return the mark of a file, "" if it has none, None if there is no file."""
    if not path.is_symlink() and not path.exists():
        return None
    try:
        with open_plain(path) as file, Image.open(file, formats=_READABLE) as picture:
            mark = picture.info.get("Software") or picture.info.get("comment") or b""
    except (OSError, UserError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError):
        return ""
    return mark.decode(errors="replace") if isinstance(mark, bytes) else str(mark)
