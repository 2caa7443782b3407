"""A class whose definition goes on in later cells of a notebook."""

from collections.abc import Callable
from typing import TypeVar

Method = TypeVar("Method", bound=Callable | property)


def method_of(cls: type) -> Callable[[Method], Method]:
    """Return a decorator that makes a function a method of `cls`, or replaces the method of that name.

    Example:
        @method_of(CharRNN)
        def train_step(self, batch):
            ...
    """

    def attach(method: Method) -> Method:
        function = method.fget if isinstance(method, property) else method
        setattr(cls, function.__name__, method)
        return method

    return attach
