"""Collect what a report is made of: artifacts, and the measurements of the same files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from mobilevit_deploy import artifact
from mobilevit_deploy.artifact import Manifest, open_artifact
from mobilevit_deploy.bench.measurement import Measurement, Subject
from mobilevit_deploy.bench.records import holds_measurements, read_measurements
from mobilevit_deploy.errors import ArtifactError
from mobilevit_deploy.output import visible
from mobilevit_deploy.report.cautions import cautions
from mobilevit_deploy.report.data import Broken, Report
from mobilevit_deploy.report.naming import with_labels
from mobilevit_deploy.report.rows import rows_of, with_ratios


def gather(folder: str | Path) -> Report:
    """Collect the artifacts in ``folder`` and its subfolders, and the measurements (``*.jsonl``) of them.

    Raises:
        ArtifactError: there is no artifact.
    """
    root = Path(folder)
    manifests, broken = read_artifacts(root)
    measured, unreadable = _read_measurements(root)
    if not manifests and not broken:
        raise ArtifactError(
            f"There is no artifact in {root}.",
            remedy="Make some with 'mobilevit-deploy export --target all'.",
        )
    return compose(
        manifests,
        measured,
        folder=root.resolve().name,
        now=datetime.now(UTC),
        broken=broken,
        remarks=unreadable,
    )


def compose(
    manifests: dict[str, Manifest],
    measured: Sequence[Measurement],
    *,
    folder: str,
    now: datetime,
    broken: Sequence[Broken] = (),
    remarks: Sequence[str] = (),
) -> Report:
    """Join manifests, by their paths, with the measurements of the same files.

    Args:
        manifests: by the path of their artifacts from the folder.
        measured: of these artifacts or others.
        folder: its name.
        now: when the report is made.
        broken: artifacts that cannot be trusted.
        remarks: further warnings.
    """
    by_digest: dict[str, list[Measurement]] = defaultdict(list)
    for measurement in measured:
        by_digest[measurement.subject.sha256].append(measurement)
    known = {manifest.sha256 for manifest in manifests.values()}
    if strays := sum(len(found) for digest, found in by_digest.items() if digest not in known):
        remarks = [*remarks, f"{strays} measurements are of files that are not here, and are left out."]
    rows = [
        row
        for path, manifest in manifests.items()
        for row in rows_of(path, manifest, by_digest[manifest.sha256])
    ]
    rows = with_ratios(with_labels(rows))
    return Report(
        version=version("mobilevit-deploy"),
        folder=folder,
        created_at=now,
        rows=tuple(rows),
        broken=tuple(broken),
        warnings=(*cautions(rows), *remarks),
    )


def read_artifacts(root: Path) -> tuple[dict[str, Manifest], list[Broken]]:
    """The manifests in ``root`` and its subfolders, by the paths of their artifacts, and what is damaged."""
    manifests: dict[str, Manifest] = {}
    broken = []
    for note in visible(root, "*.json"):
        if not _is_manifest(note):
            continue
        path = note.with_suffix("")
        name = path.relative_to(root).as_posix()
        try:
            manifests[name] = open_artifact(path)[1]
        except ArtifactError as error:
            broken.append(Broken(path=name, reason=f"{error.problem} {error.remedy}"))
    return dict(sorted(manifests.items(), key=lambda item: _order(item[1]))), broken


def _order(manifest: Manifest) -> tuple[object, ...]:
    subject = Subject.of(manifest)
    return subject.model, subject.image_size, subject.target, subject.precision, subject.file


def _read_measurements(root: Path) -> tuple[list[Measurement], list[str]]:
    measured: list[Measurement] = []
    unreadable = []
    for path in visible(root, "*.jsonl"):
        try:
            if holds_measurements(path):
                measured += read_measurements(path)
        except ArtifactError as error:
            unreadable.append(f"{error.problem} {error.remedy}")
    return measured, unreadable


def _is_manifest(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # A damaged one beside its artifact is to be told, not passed over.
        return bool(path.with_suffix("").suffix) and path.with_suffix("").exists()
    return isinstance(content, dict) and content.get("format") == artifact.FORMAT
