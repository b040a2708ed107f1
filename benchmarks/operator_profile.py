"""Where a file's time goes, and how near its products come to what one core can do.

    python -m benchmarks.operator_profile exports/*.onnx exports/*.tflite
    python -m benchmarks.operator_profile                # the fp32 and int8 files that bench_peers made of S

ONNX Runtime profiles itself; of a .tflite file each operator is timed alone (LiteRT's Python package has no
profiler). ExecuTorch's wheel is built without its event tracer, and its delegate is one call: of a .pte file
there is the whole alone, whose products are XNNPACK's as LiteRT's are.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.comparison.entries import Entry
from benchmarks.comparison.files import open_file
from benchmarks.comparison.onnx_operators import onnx_operators
from benchmarks.comparison.operators import Operator
from benchmarks.comparison.tflite_operators import tflite_operators

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDES = (256, 512, 1024)
"""Of the square matrices whose products are timed for the peak; which is fastest depends on the caches."""

_RUNS, _WARM_UP = 20, 5
_OPERATORS = {".onnx": onnx_operators, ".tflite": tflite_operators}
_RUNTIMES = {".onnx": "onnx", ".tflite": "tflite", ".pte": "executorch"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path)
    arguments = parser.parse_args()

    peaks = {False: peak_float(), True: peak_eight_bit()}
    print(f"peak of one core: float32 {peaks[False]:.0f} GFLOP/s, 8 bits {peaks[True]:.0f} Gop/s")
    print("(the fastest large matrix product)\n")
    for path in arguments.files or _made_by_bench_peers():
        whole = _whole(path)
        if path.suffix in _OPERATORS:
            print(table(path.name, _OPERATORS[path.suffix](path), whole, peaks))
        else:
            print(f"{path.name}: {whole:.2f} ms; its runtime tells nothing of operators")
        print()


def table(name: str, operators: list[Operator], whole_ms: float, peaks: dict[bool, float]) -> str:
    """A line a group of operators, the slowest first, as Markdown; ``peaks`` by whether it is in 8 bits."""
    groups: dict[tuple[str, bool], list[Operator]] = defaultdict(list)
    for operator in operators:
        groups[operator.group, operator.eight_bit].append(operator)
    total = sum(operator.ms for operator in operators)
    lines = [
        f"**{name}**: {whole_ms:.2f} ms, its operators {total:.2f} ms",
        "",
        "| operators | count | ms | share | MMAC | Gop/s | of the peak |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    floor = 0.0
    for (group, eight_bit), members in sorted(groups.items(), key=lambda item: -_ms(item[1])):
        ms, macs = _ms(members), sum(operator.mega_macs for operator in members)
        speed = 2 * macs / ms  # mega in a millisecond are giga in a second
        floor += 2 * macs / peaks[eight_bit]
        products = f"{macs:.0f} | {speed:.0f} | {speed / peaks[eight_bit]:.0%}" if macs else "| | "
        label = f"{group}, 8 bits" if eight_bit else group
        lines.append(f"| {label} | {len(members)} | {ms:.2f} | {ms / total:.0%} | {products} |")
    lines.append(
        f"\nAt the peak, all products would take {floor:.1f} ms: {floor / whole_ms:.0%} of what it takes."
    )
    return "\n".join(lines)


def peak_float() -> float:
    """GFLOP/s of the fastest float32 matrix product on one thread, by torch or ONNX Runtime."""
    import torch

    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    speeds = []
    for side in SIDES:
        left, right = random.random((2, side, side), np.float32)
        by_torch = min(_taken_ms(partial(torch.mm, torch.from_numpy(left), torch.from_numpy(right))))
        speeds.append(2 * side**3 / min(by_torch, _product_ms("MatMul", left, right)) / 1e6)
    return max(speeds)


def peak_eight_bit() -> float:
    """Gop/s of the fastest product of uint8 with int8 on one thread, by ONNX Runtime."""
    random = np.random.default_rng(0)
    speeds = []
    for side in SIDES:
        left = random.integers(0, 256, (side, side), np.uint8)
        right = random.integers(-127, 128, (side, side), np.int8)
        speeds.append(2 * side**3 / _product_ms("MatMulInteger", left, right) / 1e6)
    return max(speeds)


def _product_ms(kind: str, left: NDArray[Any], right: NDArray[Any]) -> float:
    """The least time of a product by ONNX Runtime, ``right`` constant and so packed once, as weights are."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    element = helper.np_dtype_to_tensor_dtype(left.dtype)
    result = TensorProto.FLOAT if kind == "MatMul" else TensorProto.INT32
    graph = helper.make_graph(
        [helper.make_node(kind, ["left", "right"], ["product"])],
        "product",
        [helper.make_tensor_value_info("left", element, left.shape)],
        [helper.make_tensor_value_info("product", result, [len(left), right.shape[1]])],
        [numpy_helper.from_array(right, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return min(_taken_ms(lambda: session.run(None, {"left": left})))


def _made_by_bench_peers() -> list[Path]:
    kept = sorted((Path(__file__).parent.parent / ".peers" / "s").glob("*mobilevit-deploy*.entry.json"))
    entries = [Entry.model_validate(json.loads(path.read_text(encoding="utf-8"))) for path in kept]
    return [entry.path for entry in entries if entry.path and entry.key.precision in ("fp32", "int8")]


def _whole(path: Path) -> float:
    session = open_file(path, _RUNTIMES[path.suffix])
    random = np.random.default_rng(0)
    given = session.prepare(
        random.integers(0, 256, session.input.shape, np.uint8)
        if session.input.dtype == "uint8"
        else random.random(session.input.shape, np.float32)
    )
    return statistics.median(_taken_ms(lambda: session.run(given)))


def _taken_ms(run: Callable[[], object]) -> list[float]:
    taken = []
    for _ in range(_WARM_UP + _RUNS):
        started = perf_counter()
        run()
        taken.append(1000 * (perf_counter() - started))
    return taken[_WARM_UP:]


def _ms(operators: list[Operator]) -> float:
    return sum(operator.ms for operator in operators)


if __name__ == "__main__":
    main()
