"""The plan of a comparison: which loads are to be measured on which servers, and for how long."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.measurement import H2LOAD, LOADS, Load, OpenLoop
from benchmarks.servers.lineup import SERVERS, Server

Need = tuple[str, Load | OpenLoop | None]  # a server and a load; None: the server alone


@dataclass(frozen=True, slots=True)
class Plan:
    """Loads by the name of the server, and how long. `runs`: the folder for environments, graphs and logs."""

    loads: Mapping[str, tuple[Load | OpenLoop, ...]]
    rounds: int
    seconds: float
    runs: Path
    models: Path

    @property
    def servers(self) -> tuple[Server, ...]:
        """Servers to measure; the first is the reference of all ratios."""
        return tuple(SERVERS[name] for name in self.loads)

    def every_load(self) -> list[Load | OpenLoop]:
        """Loads of any server, in the order of a round: those of every comparison first."""
        found = dict.fromkeys(load for loads in self.loads.values() for load in loads)
        usual = [load for load in LOADS.values() if load in found]
        return [*usual, *(load for load in found if load not in usual)]

    def loads_alone(self, server: str) -> list[Load]:
        """Loads that a server gets before its memory is measured: those by h2load, which every server can get."""
        return [load for load in self.loads[server] if isinstance(load, Load) and load.client == H2LOAD]

    def measurements(self) -> int:
        """Number of measurements in a round."""
        return sum(map(len, self.loads.values()))


def plan_loads(
    servers: Iterable[str], loads: Iterable[Load | OpenLoop], needs: Iterable[Need]
) -> dict[str, tuple[Load | OpenLoop, ...]]:
    """Every one of `loads` on every one of `servers` that can get it, and in addition `needs`."""
    every = list(loads)
    planned: dict[str, list[Load | OpenLoop]] = {
        name: [load for load in every if _can_get(SERVERS[name], load)] for name in servers
    }
    for server, load in needs:
        of_server = planned.setdefault(server, [])
        if load is not None and load not in of_server:
            of_server.append(load)
    return {name: tuple(of_server) for name, of_server in planned.items()}


def _can_get(server: Server, load: Load | OpenLoop) -> bool:
    """Open loops are for gRPC; loads of pictures for protocols that carry pictures, and all others for the rest."""
    if isinstance(load, OpenLoop):
        return server.protocol.is_grpc
    return server.protocol.carries_pictures == bool(load.picture)
