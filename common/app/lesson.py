"""A decorator that splits the definition of a class over several cells of a notebook."""

from collections.abc import Callable
from typing import TypeVar

Method = TypeVar("Method", bound=Callable | property)


def method_of(cls: type) -> Callable[[Method], Method]:
    """Return a decorator that adds a method to `cls`, or replaces the method of that name.

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
