"""What is read out of a phone's answers: golden outputs of several Androids, and nonsense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilevit_deploy.bench.environment import Cluster
from mobilevit_deploy.devices.android import processor, properties, state
from mobilevit_deploy.devices.android.probe import sections

GOLDEN = Path(__file__).parents[2] / "golden" / "android"


def golden(name: str) -> str:
    return (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_a_phone_is_named_by_its_properties() -> None:
    found = properties.parse(golden("getprop_14"))
    assert properties.name(found) == "Google Pixel 8"
    assert properties.system(found, "") == "Android 14 (API 34, UQ1A.240205.004)"
    assert properties.chip(found) == "Google Tensor G3"
    assert properties.virtual(found) is False


def test_before_android_12_the_platform_stands_for_the_chip() -> None:
    found = properties.parse(golden("getprop_10"))
    assert properties.name(found) == "Samsung SM-G960F"
    assert properties.chip(found) == "exynos5"


def test_a_model_that_names_its_maker_is_not_named_twice() -> None:
    assert properties.name({"ro.product.manufacturer": "OnePlus", "ro.product.model": "ONEPLUS A6003"}) == (
        "ONEPLUS A6003"
    )


def test_an_emulator_is_virtual_and_plain_linux_cannot_tell() -> None:
    assert properties.virtual({"ro.boot.qemu": "1", "ro.hardware": "ranchu"}) is True
    assert properties.virtual({}) is None


def test_plain_linux_is_named_by_its_release() -> None:
    release = 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'
    assert properties.system({}, release) == "Debian GNU/Linux 12 (bookworm)"
    assert properties.system({}, "") == "Linux"


def test_features_are_those_that_matter() -> None:
    assert processor.features(golden("cpuinfo")) == (
        "asimd",
        "asimdhp",
        "asimddp",
        "i8mm",
        "bf16",
        "sve",
        "sve2",
    )
    assert processor.count(golden("cpuinfo")) == 2


def test_a_feature_that_not_all_cores_have_does_not_count() -> None:
    assert processor.features("Features : asimd i8mm\nFeatures : asimd\n") == ("asimd",)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("battery_10", state.Battery(power="battery", level=0.62, celsius=27.4)),
        ("battery_14", state.Battery(power="mains", level=1.0, celsius=31.2)),
    ],
)
def test_the_battery(name: str, expected: state.Battery) -> None:
    assert state.battery(golden(name)) == expected


def test_a_box_without_a_battery_has_none() -> None:
    assert state.battery(golden("battery_14").replace("present: true", "present: false")) == state.Battery()


def test_temperatures_are_current_and_are_temperatures() -> None:
    assert state.thermal(golden("thermal_15")) == state.Thermal(
        0, {"VIRTUAL-SKIN": 28.754002, "BIG": 38.0, "G3D": 36.0, "TPU": 35.0, "battery": 27.7}
    )


def test_a_phone_that_throttles_says_how_much() -> None:
    assert state.thermal(golden("thermal_10")).status == 2


@pytest.mark.parametrize(
    ("text", "lit"),
    [
        (golden("power_10"), True),
        (golden("power_14"), False),
        ("mWakefulness=Dozing", False),
        ("Display Power: state=OFF", False),
        ("", None),
    ],
)
def test_the_screen(text: str, lit: bool | None) -> None:
    assert state.screen_on(text) is lit


@pytest.mark.parametrize(
    ("text", "on"), [("1\n", True), ("0\n", False), ("null\n", False), ("", None), ("cmd: failure", None)]
)
def test_the_battery_saver(text: str, on: bool | None) -> None:
    assert state.low_power_mode(text) is on


def test_busy_is_what_others_took_in_between() -> None:
    before = "cpu  100 0 100 800 100 0 0 0 0 0\ncpu0 1 2 3\n"
    after = "cpu  130 0 110 850 110 0 0 0 0 0\n"
    assert state.busy(before, after) == pytest.approx(0.4)
    assert state.busy(before, before) is None


def test_load_and_memory() -> None:
    assert state.load_average("8.52 7.97 7.55 3/3170 12345\n") == (8.52, 7.97, 7.55)
    assert (
        state.memory_bytes("MemTotal:  7579252 kB\nMemAvailable:    3000000 kB\n", "MemAvailable")
        == 3072000000
    )


def test_thermal_zones_of_plain_linux() -> None:
    listing = (
        "/sys/class/thermal/thermal_zone0/type:cpu-thermal\n"
        "/sys/class/thermal/thermal_zone0/temp:48312\n"
        "/sys/class/thermal/thermal_zone1/temp:-274000\n"
    )
    assert state.zones(listing) == {"cpu-thermal": 48.312}


def listing(**files: dict[int, str]) -> str:
    return "".join(
        f"/sys/devices/system/cpu/cpu{core}/{'' if name == 'cpu_capacity' else 'cpufreq/'}{name}:{line}\n"
        for name, by_core in files.items()
        for core, text in by_core.items()
        for line in text.splitlines()
    )


def test_clusters_are_ordered_by_capacity_and_clock() -> None:
    clocks = processor.by_core(
        listing(
            related_cpus={0: "0 1 2 3", 3: "0 1 2 3", 4: "4 5 6 7", 8: "8"},
            cpuinfo_max_freq={0: "1704000", 3: "1704000", 4: "2367000", 8: "2914000"},
        )
    )
    assert processor.clusters(clocks) == (
        Cluster(kind="little", cores=(0, 1, 2, 3), max_mhz=1704),
        Cluster(kind="mid", cores=(4, 5, 6, 7), max_mhz=2367),
        Cluster(kind="big", cores=(8,), max_mhz=2914),
    )


def test_small_cores_with_the_higher_clock_stay_small() -> None:
    clocks = processor.by_core(
        listing(
            related_cpus={0: "0", 1: "1"},
            cpuinfo_max_freq={0: "2000000", 1: "1900000"},
            cpu_capacity={0: "400", 1: "1024"},
        )
    )
    assert [(one.kind, one.cores) for one in processor.clusters(clocks)] == [("little", (0,)), ("big", (1,))]


def test_cores_of_one_kind_are_big() -> None:
    clocks = processor.by_core(listing(related_cpus={0: "0 1"}, cpuinfo_max_freq={0: "1500000"}))
    assert [one.kind for one in processor.clusters(clocks)] == ["big"]


def test_time_in_state_is_told_once_a_clock_in_milliseconds() -> None:
    table = "300000 12345\n1704000 7\n"
    clocks = processor.by_core(listing(related_cpus={0: "0 1", 1: "0 1"}, time_in_state={0: table, 1: table}))
    assert processor.time_in_state_ms(clocks) == {"cpu0": {300: 123450, 1704: 70}}


def test_frequencies_and_governors() -> None:
    clocks = processor.by_core(
        listing(
            scaling_cur_freq={0: "300000", 10: "2914000", 4: "910000"},
            scaling_governor={0: "sched_pixel", 4: "sched_pixel"},
            scaling_driver={0: "exynos-acme", 4: "exynos-acme"},
        )
    )
    assert processor.frequencies_mhz(clocks) == (300.0, 910.0, 2914.0)
    assert processor.governors(clocks) == ("sched_pixel (exynos-acme)",)


@pytest.mark.parametrize(
    ("text", "cores"),
    [("0-3,7", (0, 1, 2, 3, 7)), ("0 1 2\n", (0, 1, 2)), ("", ()), ("0-99999", ()), ("x", ())],
)
def test_lists_of_cores(text: str, cores: tuple[int, ...]) -> None:
    assert processor.core_list(text) == cores


PARSERS: list[Callable[[str], Any]] = [
    properties.parse,
    lambda text: properties.name(properties.parse(text)),
    lambda text: properties.system(properties.parse(text), text),
    lambda text: processor.clusters(processor.by_core(text)),
    lambda text: processor.frequencies_mhz(processor.by_core(text)),
    lambda text: processor.governors(processor.by_core(text)),
    lambda text: processor.time_in_state_ms(processor.by_core(text)),
    processor.core_list,
    processor.features,
    processor.name,
    state.battery,
    state.thermal,
    state.zones,
    state.screen_on,
    state.low_power_mode,
    lambda text: state.busy(text, text[::-1]),
    state.load_average,
    lambda text: state.memory_bytes(text, "MemTotal"),
    sections,
]

# Pieces of real answers in any order and quantity find more than letters do.
PIECES = st.lists(
    st.one_of(
        st.text(),
        st.integers().map(str),
        st.floats().map(str),
        st.sampled_from(
            [line for path in sorted(GOLDEN.glob("*.txt")) for line in path.read_text("utf-8").splitlines()]
            + ["/sys/devices/system/cpu/cpu0/cpufreq/related_cpus:", "cpu  ", "\n", ":", "kB", "MemTotal: "]
        ),
    )
).map("".join)


@pytest.mark.parametrize("parse", PARSERS)
@given(text=PIECES)
def test_no_answer_is_too_strange(parse: Callable[[str], Any], text: str) -> None:
    parse(text)


@given(text=st.text())
def test_what_makes_no_sense_is_none(text: str) -> None:
    assert state.battery(text) == state.Battery()
    assert state.thermal(text) == state.Thermal()
    assert state.screen_on(text) is None
