"""A plan has every load on every server, and what targets need in addition."""

from pathlib import Path

from benchmarks.compare.plan import Need, Plan, plan_loads
from benchmarks.load.measurement import LOADS, PICTURE_LOADS, PYTHON_CALLS, Load, OpenLoop

ONE, THIRTY_TWO, *_ = LOADS.values()
STEADY = OpenLoop(5000, 60)


def plan_of(**loads: tuple[Load | OpenLoop, ...]) -> Plan:
    return Plan(loads, rounds=1, seconds=1, runs=Path("runs"), models=Path("models"))


def test_every_load_is_planned_on_every_server_in_the_order_given() -> None:
    planned = plan_loads(["triton", "ours"], [ONE, THIRTY_TWO], [])
    assert planned == {"triton": (ONE, THIRTY_TWO), "ours": (ONE, THIRTY_TWO)}
    assert list(planned) == ["triton", "ours"]


def test_what_is_needed_is_added_once() -> None:
    needs: list[Need] = [
        ("ours", ONE),
        ("ours", STEADY),
        ("ours", STEADY),
        ("echo", THIRTY_TWO),
        ("ours-one-mnist", None),
    ]
    assert plan_loads(["ours"], [ONE], needs) == {
        "ours": (ONE, STEADY),
        "echo": (THIRTY_TWO,),
        "ours-one-mnist": (),
    }


def test_an_open_loop_is_for_servers_that_speak_grpc() -> None:
    assert plan_loads(["echo", "fastapi"], [STEADY], []) == {"echo": (STEADY,), "fastapi": ()}


def test_pictures_are_for_servers_that_take_pictures_and_for_them_alone() -> None:
    pictures = PICTURE_LOADS["png-8"]
    planned = plan_loads(["ours", "ours-pictures", "fastapi-pictures"], [ONE, pictures], [])
    assert planned == {"ours": (ONE,), "ours-pictures": (pictures,), "fastapi-pictures": (pictures,)}


def test_a_round_begins_with_the_loads_of_every_comparison_in_their_order() -> None:
    plan = plan_of(ours=(PYTHON_CALLS, THIRTY_TWO), triton=(STEADY, ONE, THIRTY_TWO))
    assert plan.every_load() == [ONE, THIRTY_TWO, PYTHON_CALLS, STEADY]
    assert plan.measurements() == 5


def test_memory_is_measured_after_loads_that_every_server_can_get() -> None:
    assert plan_of(ours=(PYTHON_CALLS, THIRTY_TWO, STEADY)).loads_alone("ours") == [THIRTY_TWO]
