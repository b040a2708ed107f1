"""The TOML file of a sweep, read and checked; ``example.toml`` beside this file explains its keys."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError

from mobilevit_deploy.cli import options
from mobilevit_deploy.demo import DEMOS
from mobilevit_deploy.errors import UsageError
from mobilevit_deploy.target import suggestion

EXAMPLE = Path(__file__).with_name("example.toml")

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_UNKNOWN = "extra_forbidden"

Item = TypeVar("Item")


def _size(value: Any) -> tuple[int, int]:
    """``256`` or ``"192x256"``, as ``--image-size`` takes them."""
    try:
        size = options.image_size(str(value))
    except UsageError as error:
        raise PydanticCustomError("usage", "{why}", {"why": f"{error.problem} {error.remedy}"}) from error
    assert size is not None
    return size


def _share(value: Any) -> float | None:
    """``"2%"``, ``0.02`` or ``"off"``, as ``bench --precision`` takes them."""
    try:
        return options.share(str(value))
    except UsageError as error:
        raise PydanticCustomError("usage", "{why}", {"why": f"{error.problem} {error.remedy}"}) from error


def _path(value: Any, info: ValidationInfo) -> Any:
    """A path from the file's folder; what is no text is left for pydantic to refuse."""
    folder: Any = info.context
    return folder / Path(value).expanduser() if isinstance(value, (str, Path)) else value


def _folder(value: Any, info: ValidationInfo) -> Any:
    path = _path(value, info)
    if isinstance(path, Path) and not path.is_dir():
        raise PydanticCustomError("folder", "There is no folder {path}.", {"path": str(path)})
    return path


def _source(value: Any, info: ValidationInfo) -> Any:
    """A bundled model or a hub id as it is, anything else as a path from the file's folder."""
    if not isinstance(value, str) or value in DEMOS:
        return value
    path: Path = _path(value, info)
    return value if _HUB_ID.fullmatch(value) and not path.exists() else str(path)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


_Size = Annotated[tuple[int, int], BeforeValidator(_size)]
_Source = Annotated[str, BeforeValidator(_source)]
_Threads = Annotated[int, Field(ge=1)]
_Some = Annotated[list[Item], Field(min_length=1)]
_OneOrSome = Annotated[list[Item], BeforeValidator(_listed), Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Export(_Table):
    """``[export]``: see the options of the command; ``converters`` are those of each target named."""

    converters: dict[str, _Some[str]] = {}
    calibration: Annotated[Path, BeforeValidator(_folder)] | None = None
    evaluation: Annotated[Path, BeforeValidator(_folder)] | None = None
    gate: bool = True


class Bench(_Table):
    """``[bench]``: see the options of the command."""

    rounds: int = Field(default=5, ge=1)
    samples: int = Field(default=50, ge=1)
    precision: Annotated[float | None, BeforeValidator(_share)] = 0.02
    max_seconds: float = Field(default=300.0, ge=0)


class Exclude(_Table):
    """``[[exclude]]``: leaves out the combinations that have one of its values for each of its keys."""

    model: _OneOrSome[_Source] | None = None
    target: _OneOrSome[str] | None = None
    precision: _OneOrSome[str] | None = None
    converter: _OneOrSome[str] | None = None
    image_size: _OneOrSome[_Size] | None = None
    threads: _OneOrSome[_Threads] | None = None
    cores: _OneOrSome[str] | None = None
    device: _OneOrSome[str] | None = None

    def values(self) -> dict[str, list[Any]]:
        """Its keys with what they name."""
        return {key: values for key, values in self if values is not None}

    def leaves_out(self, combination: dict[str, Any]) -> bool:
        """Whether ``combination`` has every key of this, with a value that it names."""
        return all(key in combination and combination[key] in values for key, values in self.values().items())


class Ray(_Table):
    """``[ray]``: ``timing`` is the custom resource of the nodes that stand for the device ``host``."""

    timing: str | None = Field(default=None, min_length=1)


class Plan(_Table):
    """What to sweep over, and how; paths are absolute.

    Attributes:
        models: what ``--model`` takes.
        targets: their names, or ``all``.
        precisions: their names, or ``all`` that a target has.
        image_sizes: (height, width); empty for each checkpoint's own.
        cores: what ``bench --cores`` takes, or ``all``.
        devices: what ``bench --device`` takes.
        output: folder of artifacts and measurements.
    """

    models: _Some[_Source] = ["demo"]
    targets: _Some[str] = ["all"]
    precisions: _Some[str] = ["fp32"]
    image_sizes: list[_Size] = []
    threads: _Some[_Threads] = [1]
    cores: _Some[str] = ["all"]
    devices: _Some[str] = ["host"]
    output: Annotated[Path, BeforeValidator(_path)] = Field(default=Path("sweep"), validate_default=True)
    export: Export = Export()
    bench: Bench = Bench()
    exclude: list[Exclude] = []
    ray: Ray = Ray()


_TABLES: dict[str, type[_Table]] = {"export": Export, "bench": Bench, "exclude": Exclude, "ray": Ray}


def read_plan(path: Path) -> Plan:
    """Read the TOML file of a sweep.

    Raises:
        UsageError: it cannot be read, is no TOML, has a key that does not exist, or a value that cannot be.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.",
            remedy="Begin one with 'mobilevit-deploy sweep --example > sweep.toml'.",
        ) from error
    return parse_plan(text, path)


def parse_plan(text: str, path: Path) -> Plan:
    """The plan in ``text``, whose relative paths begin at the folder of ``path``.

    Raises:
        UsageError: see ``read_plan``.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path} is no TOML: {error}.", remedy="Mend that line; text and paths stand in quotes."
        ) from error
    try:
        return Plan.model_validate(content, context=path.absolute().parent)
    except ValidationError as error:
        found = error.errors(include_url=False)
        # A key that does not exist explains the others: what was meant is missing elsewhere.
        first = next((each for each in found if each["type"] == _UNKNOWN), found[0])
        raise _explained(path, first["loc"], first["type"], first["msg"]) from error


def _explained(path: Path, place: tuple[int | str, ...], kind: str, message: str) -> UsageError:
    names = [part for part in place if isinstance(part, str)]
    table = names[0] if names[0] in _TABLES else ""
    if kind != _UNKNOWN:
        where = f"[{table}] {'.'.join(names[1:])}".rstrip() if table else names[0]
        return UsageError(
            f"{path}: {where}: {message.rstrip('.')}.",
            remedy="'mobilevit-deploy sweep --example' shows every key.",
        )
    key = names[-1]
    known = list(_TABLES.get(table, Plan).model_fields)
    elsewhere = _elsewhere(key)
    # Of a key in the wrong place only its other number is near: [exclude] has the singular of most lists.
    is_near = not elsewhere or {f"{key}s", key.removesuffix("s")} & {*known}
    near = suggestion(key, known) if is_near else ""
    return UsageError(
        f"{path}: there is no key '{key}'" + (f" in [{table}]." if table else "."),
        remedy=f"{near}{elsewhere}Known here: {', '.join(known)}.",
    )


def _elsewhere(key: str) -> str:
    """Where a key that is in the wrong place belongs."""
    if key in Plan.model_fields:
        return f"'{key}' belongs to the top of the file, above the first [table]. "
    tables = [f"[{name}]" for name, table in _TABLES.items() if key in table.model_fields]
    return f"'{key}' is a key of {' and '.join(tables)}. " if tables else ""
