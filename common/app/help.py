"""The text of `--help`, wrapped to the width of the terminal."""

import ast
import contextlib
import inspect
import io
import os
import re
import shutil
import sys
import textwrap
from dataclasses import fields
from itertools import pairwise
from typing import Annotated, Any, get_type_hints

import tyro

_MIN_WIDTH = 10  # in fewer columns tyro does not end

PARSER_CONFIG = (tyro.conf.DisallowNone,)  # None is a default, not a value to give


def wrap(text: str) -> str:
    """Return paragraphs and lists, whose items begin with a dash, wrapped to the width of the terminal."""
    width = max(_MIN_WIDTH, shutil.get_terminal_size().columns)
    blocks = (re.split(r"\n(?=- )", block) for block in text.split("\n\n"))
    return "\n\n".join("\n".join(_fill(line, width) for line in block) for block in blocks)


def _fill(line: str, width: int) -> str:
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def command_help(program: str, options: type, default: Any) -> str:
    """Return the usage of a command, the docstring of `options`, a dataclass, and a table of its flags.

    The docstring of each field is the help text of its flag. `default` is an instance with the default values, or None.
    """
    output = plain_output()
    if shutil.get_terminal_size().columns < _MIN_WIDTH:
        os.environ["COLUMNS"] = str(_MIN_WIDTH)
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        tyro.cli(with_help_texts(options), prog=program, args=["--help"], default=default, config=PARSER_CONFIG)
    output.seek(0)
    usage, _, table = output.read().partition("\n")
    return wrap(f"{usage}\n\n{ast.get_docstring(_definition(options))}") + "\n" + table.rstrip()


def plain_output() -> io.TextIOWrapper:
    """Return an output for tyro in place of stdout: it is no terminal, so tyro writes no colours, to stderr neither.

    It has the encoding of stdout, because tyro draws boxes if that is utf-8.
    """
    return io.TextIOWrapper(io.BytesIO(), sys.stdout.encoding.lower(), "backslashreplace")


def with_help_texts(options: type) -> type:
    """Return `options` without its docstring, and with help texts of one line each, which tyro wraps.

    By itself, tyro breaks a help text where the docstring has line breaks, and shows None as a default.
    """
    texts = {name: text for cls in options.__mro__[-2::-1] for name, text in _field_docstrings(cls).items()}
    hints = get_type_hints(options, include_extras=True)
    annotations = {}
    for name in (field.name for field in fields(options)):
        help_text = tyro.conf.arg(help=texts[name], help_behavior_hint=_default_hint)
        annotations[name] = Annotated[hints[name], help_text]
    return type(options.__name__, (options,), {"__annotations__": annotations})


def _definition(cls: type) -> ast.ClassDef:
    """Return the definition of a class in its source, whose docstrings `python -OO` keeps."""
    [definition] = ast.parse(inspect.getsource(cls)).body
    return definition


def _field_docstrings(cls: type) -> dict[str, str]:
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(_definition(cls).body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def _default_hint(default: str) -> str:
    return f"(default: {default})" if default not in ("", "None") else ""
