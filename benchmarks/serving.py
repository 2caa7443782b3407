"""Load on a running `python -m examples serve`: clients that ask without pause, for so many seconds.

python -m examples serve --requests-per-minute 1000000 --port 7860 &
python -m benchmarks.serving --url http://127.0.0.1:7860
python -m benchmarks.serving --only translate --seconds 20      and again with `serve --max-batch 1`

A client asks, waits for the whole answer, and asks again. Prints requests a second, the median and the 95th percentile
of their seconds, the statuses, and the memory of the server after each tenth of the time.
"""

import asyncio
import io
import random
import time
from collections import Counter, defaultdict
from pathlib import Path

import httpx
import numpy as np
import tyro

from common.io.terminal import echo
from examples.image_captioning.download.toy_scenes import make_scenes
from examples.nmt_attention.download.toy_grammar import tiny_pairs

SENTENCES = [pair.spanish for pair in tiny_pairs(200)]


def _photo() -> bytes:
    buffer = io.BytesIO()
    make_scenes(1, seed=1, held_out=True)[0].draw().save(buffer, "PNG")
    return buffer.getvalue()


PHOTO = _photo()


async def ask(client: httpx.AsyncClient, kind: str) -> int:
    """Send a request of a kind, read the answer to its end, and return the status."""
    match kind:
        case "translate":
            answer = await client.post("/v1/translate", json={"sentences": [random.choice(SENTENCES)]})
        case "text":
            body = {"prompt": "The ", "length": 96, "seed": random.randrange(10**6)}
            answer = await client.post("/v1/text/generate", json=body)
        case "images":
            answer = await client.post("/v1/dcgan/images", json={"seed": random.randrange(10**6), "count": 4})
        case "caption":
            answer = await client.post("/v1/caption", files={"photo": ("scene.png", PHOTO)})
    return answer.status_code


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process on Linux."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


async def main(
    url: str = "http://127.0.0.1:7860",
    clients: int = 50,
    seconds: float = 60,
    only: str | None = None,
    pid: int | None = None,
) -> None:
    """Measure.

    Args:
        url: of the server.
        clients: number of clients.
        seconds: for which they ask.
        only: translate, text, images or caption, in place of all of them.
        pid: process id of the server, whose memory is reported.
    """
    kinds = (only,) if only else ("translate", "text", "images", "caption")
    took: dict[str, list[float]] = defaultdict(list)
    statuses: Counter[int] = Counter()
    end = time.monotonic() + seconds

    async def one_client() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            while time.monotonic() < end:
                kind = random.choice(kinds)
                start = time.monotonic()
                statuses[await ask(client, kind)] += 1
                took[kind].append(time.monotonic() - start)

    async def watch() -> list[float]:
        sizes = []
        for _ in range(10 if pid else 0):
            await asyncio.sleep(seconds / 10)
            sizes.append(memory_mib(pid))
        return sizes

    sizes, *_ = await asyncio.gather(watch(), *(one_client() for _ in range(clients)))
    echo(f"{sum(map(len, took.values())) / seconds:.0f} requests a second; statuses {dict(statuses)}")
    for kind, times in took.items():
        p50, p95 = np.percentile(times, [50, 95])
        echo(f"{kind:<10} {len(times):>6} requests, p50 {p50:.3f} s, p95 {p95:.3f} s")
    if sizes:
        echo("memory in MiB: " + " ".join(f"{size:.0f}" for size in sizes))


if __name__ == "__main__":
    asyncio.run(tyro.cli(main))
