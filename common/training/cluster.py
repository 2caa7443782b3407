"""The description of several processes that train together, from the environment variable TF_CONFIG."""

import os
import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from common.errors import UserError


@dataclass(frozen=True)
class _Task:
    type: Literal["worker", "chief"]
    index: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class _Cluster:
    worker: list[str] = field(default_factory=list)
    chief: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Workers:
    """The content of TF_CONFIG: the processes that train together, and which of them this one is."""

    cluster: _Cluster
    task: _Task

    @property
    def addresses(self) -> list[str]:
        """The address of every process, host:port; the chief is the first."""
        return [*self.cluster.chief, *self.cluster.worker]

    @property
    def index(self) -> int:
        """The position of this process among the addresses."""
        return self.position(self.task.type, self.task.index)

    def position(self, kind: str, index: int) -> int:
        """Return the position among the addresses of the process with this task."""
        return index + (len(self.cluster.chief) if kind == "worker" else 0)

    def named_in(self, message: str) -> str:
        """Return the other processes that a message of TensorFlow names, with their addresses."""
        tasks = re.findall(r"/job:(\w+)/replica:\d+/task:(\d+)", message)
        numbers = {self.position(kind, int(index)) for kind, index in tasks} - {self.index}
        return ", ".join(f"worker {number} ({self.addresses[number]})" for number in sorted(numbers))

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run directory."""
        return self.index == 0


def read_workers() -> Workers | None:
    """Return the content of TF_CONFIG; None if it is not set or names one process only.

    Raises:
        UserError: TF_CONFIG is invalid.
    """
    content = os.environ.get("TF_CONFIG")
    if not content:
        return None
    try:
        workers = TypeAdapter(Workers).validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(_invalid(": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]])))) from error
    if workers.index >= len(workers.addresses):
        raise UserError(_invalid(f"task {workers.task.type} {workers.task.index} is not in the cluster"))
    return workers if len(workers.addresses) > 1 else None


def _invalid(reason: str) -> str:
    example = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
    return f"TF_CONFIG: {reason}; expected for instance {example}"
