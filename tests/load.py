"""Load on a server: many clients at once, each asking for one tile after another on a connection
of its own."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Found:
    """What came back: seconds of each answer, its status, and what went wrong on the way."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    wall: float = 0.0

    def percentile(self, share: float) -> float:
        """Return the time within which a share of the answers came."""
        ranked = sorted(self.seconds)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.wall


def press(url: str, paths: list[str], clients: int, seconds: float, seed: int = 0) -> Found:
    """Ask for random ones of `paths` for some time, as so many clients at once."""
    return asyncio.run(_press(url, paths, clients, seconds, seed))


async def _press(url: str, paths: list[str], clients: int, seconds: float, seed: int) -> Found:
    found, host = Found(), urlsplit(url)
    begun = time.monotonic()
    ends = begun + seconds
    await asyncio.gather(
        *(
            _client(host.hostname, host.port, paths, ends, random.Random(f"{seed}-{i}"), found)
            for i in range(clients)
        )
    )
    found.wall = time.monotonic() - begun
    return found


async def _client(
    host: str, port: int, paths: list[str], ends: float, dice: random.Random, found: Found
) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        while time.monotonic() < ends:
            begun = time.monotonic()
            writer.write(f"GET {dice.choice(paths)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            await reader.readexactly(length)
            found.seconds.append(time.monotonic() - begun)
            status = int(head.split(b" ")[1])
            found.statuses[status] = found.statuses.get(status, 0) + 1
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
        found.errors.append(repr(error))
    finally:
        writer.close()
