"""The file of a sweep: what it may say, and that whatever else it says is told by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.sweep.matrix import expand
from mobilevit_deploy.sweep.plan import EXAMPLE, Bench, Exclude, Export, Plan, parse_plan, read_plan

FILE = Path("/somewhere/sweep.toml")
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), WORDS),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


def toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def attempt(text: str) -> Plan | UsageError:
    try:
        return parse_plan(text, FILE)
    except UsageError as error:
        return error


def refusal(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        expand(parse_plan(text, FILE))
    return caught.value


def test_the_example_names_every_key_and_can_be_swept() -> None:
    plan = read_plan(EXAMPLE)
    assert expand(plan).variants
    text = EXAMPLE.read_text()
    for table in (Plan, Export, Bench):
        assert all(key in text for key in table.model_fields)


def test_an_empty_file_is_the_bundled_model_in_fp32_on_every_target_here() -> None:
    plan = parse_plan("", FILE)
    assert (plan.models, plan.targets, plan.precisions) == (["demo"], ["all"], ["fp32"])
    assert (plan.threads, plan.devices, plan.output) == ([1], ["host"], Path("/somewhere/sweep"))


def test_relative_paths_begin_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "mine").mkdir()
    text = (
        'models = ["mine", "./yours", "demo", "apple/mobilevit-xx-small"]\noutput = "out"\n'
        '[export]\ncalibration = "photos"\n[[exclude]]\nmodel = "mine"\n'
    )
    plan = parse_plan(text, tmp_path / "sweep.toml")
    mine = str(tmp_path / "mine")
    assert plan.models == [mine, str(tmp_path / "yours"), "demo", "apple/mobilevit-xx-small"]
    assert plan.output == tmp_path / "out"
    assert plan.export.calibration == tmp_path / "photos"
    assert plan.exclude[0].model == [mine]


def test_sizes_and_shares_are_written_as_on_the_command_line() -> None:
    plan = parse_plan('image_sizes = [256, "192x224"]\n[bench]\nprecision = "1%"', FILE)
    assert plan.image_sizes == [(256, 256), (192, 224)]
    assert plan.bench.precision == 0.01
    assert parse_plan('[bench]\nprecision = "off"', FILE).bench.precision is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('modls = ["demo"]', "no key 'modls'. Did you mean 'models'?"),
        ("[bench]\nround = 3", "no key 'round' in [bench]. Did you mean 'rounds'?"),
        ("rounds = 3", "'rounds' is a key of [bench]"),
        ('precision = ["fp32"]', "Did you mean 'precisions'? 'precision' is a key of [bench] and [exclude]"),
        ('[bench]\noutput = "x"', "'output' belongs to the top of the file"),
        ('[[exclude]]\ntargets = "onnx"', "no key 'targets' in [exclude]. Did you mean 'target'?"),
        ("threads = [0]", "threads: "),
        ("threads = [true]", "threads: "),
        ("threads = 2", "threads: "),
        ("models = []", "models: "),
        ("image_sizes = [12]", "'12' is no image size"),
        ("[bench]\nprecision = 3", "'3' is no share"),
        ('[export]\ncalibration = "absent"', "There is no folder /somewhere/absent"),
        ("threads = [1", "is no TOML"),
        ('targets = ["onyx"]', "Did you mean 'onnx'?"),
        ('precisions = ["fp23"]', "Did you mean 'fp32'?"),
        ('devices = ["hots"]', "Did you mean 'host'?"),
        ('targets = ["toy"]\n[export.converters]\nonnx = ["x"]', "'onnx', which is not in the sweep"),
        ('targets = ["toy"]\n[export.converters]\ntoy = ["x"]', "no converter 'x'"),
        ('targets = ["toy"]\n[[exclude]]\ntarget = "onnx"', "names the target 'onnx', which is not swept"),
        ('targets = ["toy"]\n[[exclude]]\nthreads = 4', "names the threads '4'"),
        ('targets = ["toy"]\n[[exclude]]', "would leave out everything"),
        ('targets = ["toy"]\nprecisions = ["fp16"]', "toy has no fp16 (1)"),
    ],
)
def test_a_mistake_is_told_by_name_with_what_was_meant(text: str, said: str) -> None:
    assert said in str(refusal(text))


@given(st.from_regex(r"[A-Za-z_]{1,12}", fullmatch=True), st.sampled_from(["", "bench", "export", "ray"]))
def test_no_unknown_key_is_passed_over(key: str, table: str) -> None:
    tables = {"": Plan, "bench": Bench, "export": Export}
    if table not in tables or key in tables[table].model_fields:
        return
    heading = f"[{table}]\n" if table else ""
    assert f"no key '{key}'" in str(refusal(f"{heading}{key} = 1"))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([*Plan.model_fields, "bench.rounds", "bench.precision", "export.gate"]), VALUES)
def test_whatever_a_key_is_given_is_taken_or_refused_by_the_keys_name(key: str, value: object) -> None:
    found = attempt(f"{key} = {toml(value)}")
    if isinstance(found, UsageError):
        assert key.rpartition(".")[2] in found.problem
    else:
        assert all(isinstance(threads, int) and threads >= 1 for threads in found.threads)
        assert found.output.is_absolute()


@given(WORDS)
def test_any_text_is_a_plan_or_a_usage_error(text: str) -> None:
    found = attempt(text)
    assert found.remedy if isinstance(found, UsageError) else found.models


def test_an_exclusion_needs_all_of_its_keys() -> None:
    exclusion = Exclude.model_validate({"target": "onnx", "threads": [2, 4]}, context=FILE.parent)
    assert exclusion.leaves_out({"target": "onnx", "threads": 4, "device": "host"})
    assert not exclusion.leaves_out({"target": "onnx", "threads": 1})
    assert not exclusion.leaves_out({"target": "onnx"})
