"""Where numbers came from: what is known is said, what is not is left out."""

from __future__ import annotations

from collections.abc import Sequence

from fakes.timed_artifacts import conditions, machine, phone, phone_conditions
from mobilevit_deploy.bench.environment import Conditions, Machine
from mobilevit_deploy.report import places
from mobilevit_deploy.report.data import Place, Report


def facts(of: Machine, *pairs: tuple[Conditions, Conditions]) -> dict[str, str]:
    return dict(places.facts(Place("adb:R58M", "adb-shell", of, list(pairs))))


def course(*states: Conditions) -> Sequence[tuple[Conditions, Conditions]]:
    return [(state, state) for state in states]


def test_a_phone_is_described(everywhere: Report) -> None:
    _, place = everywhere.places
    assert places.title(place) == "adb:R58M (adb shell)"
    assert places.line(place) == (
        "adb:R58M (adb shell): Maker Phone 7, Chip G2 (8 cores), Android 14 (API 34)"
    )
    assert dict(places.facts(place)) == {
        "Device": "Maker Phone 7",
        "Processor": "Chip G2 (8 cores)",
        "Cores": "4 little up to 1.80 GHz, 2 mid up to 2.35 GHz, 2 big up to 2.85 GHz",
        "Instruction sets": "asimd, asimdhp, asimddp",
        "Clock": "little 0.30 GHz, mid 0.40 GHz, big 0.50 to 2.85 GHz",
        "At top clock": "little 10%, big 90%",
        "Governor": "sched_pixel (exynos)",
        "Power": "battery",
        "Battery": "80% → 55%; 28.0 °C → 31.0 °C",
        "Sensors": "up to 29.5 °C (SKIN)",
        "Thermal status": "0 (none)",
        "Screen": "off",
        "Battery saver": "off",
        "Used by others": "at most 1% of the processor",
        "Memory": "8.0 GB",
        "System": "Android 14 (API 34), kernel 5.10.157-android13",
        "ABI": "arm64-v8a",
    }


def test_this_machine_is_described(everywhere: Report) -> None:
    place, _ = everywhere.places
    assert places.title(place) == "host"
    assert places.line(place) == "host: Example 9000 (4 cores)"
    assert dict(places.facts(place))["Architecture"] == "x86_64"
    assert dict(places.facts(place))["Python"] == "3.11.9"


def test_what_is_not_known_is_left_out() -> None:
    mute = conditions(busy=None, frequencies_mhz=(), load_average=None)
    bare = machine(name="Phone", cpu_features=(), kernel="", memory_bytes=0, python="")
    assert set(facts(bare, (mute, mute))) == {"Device", "Processor", "System", "ABI"}


def test_what_changed_is_told_with_its_peak() -> None:
    temperatures = (27.0, 36.5, 30.0)
    states = [phone_conditions(battery=None, battery_c=celsius) for celsius in temperatures]
    assert facts(phone(), *course(*states))["Battery"] == "27.0 °C → 30.0 °C, at most 36.5 °C"


def test_states_that_differ_are_all_named() -> None:
    lit = phone_conditions(screen_on=True, thermal_status=2, power="mains", low_power_mode=True)
    found = facts(phone(), (phone_conditions(), lit))
    assert found["Screen"] == "off, lit"
    assert found["Thermal status"] == "0 (none), 2 (moderate)"
    assert found["Power"] == "battery, mains"
    assert found["Battery saver"] == "off, on"


def test_clocks_of_unknown_cores_are_not_given_to_any() -> None:
    some = phone_conditions(frequencies_mhz=(300.0, 2850.0))  # a core that is off has no file
    assert facts(phone(), (some, some))["Clock"] == "0.30 to 2.85 GHz"


def test_clocks_that_did_not_run_have_no_share_of_the_time() -> None:
    still = phone_conditions()
    assert "At top clock" not in facts(phone(), (still, still))


class TestGroups:
    """Only what stands in one group may be compared."""

    def test_rows_stand_with_those_of_the_same_place(self, everywhere: Report) -> None:
        groups = places.groups(everywhere)
        assert {place: [row.name for row in rows] for place, rows in groups.items()} == {
            "host, Example 9000, 1 thread": ["right fp32", "wrong fp32"],
            "adb:R58M (adb shell), Maker Phone 7, 1 thread on big cores": ["right fp32", "wrong fp32"],
        }

    def test_what_was_timed_nowhere_stands_with_the_others_of_a_single_place(self, report: Report) -> None:
        ((place, rows),) = places.groups(report).items()
        assert place == "host, Example 9000, 1 thread"
        assert [row.name for row in rows] == ["fast fp32", "slow fp32", "silent fp32"]

    def test_without_any_time_there_is_no_place(self, unmeasured: Report) -> None:
        assert list(places.groups(unmeasured)) == [""]
