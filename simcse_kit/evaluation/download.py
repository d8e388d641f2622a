"""Downloads the STS sets once, as used in SimCSE's own evaluation."""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from simcse_kit.errors import DataError
from simcse_kit.evaluation.sts import STS_HELP, load_sts, load_sts_benchmark, senteval_root

# The archive that SimCSE's download_dataset.sh unpacks. Flat copies on the hub (mteb/sts12-sts, ...) lack subset names,
# and RobZamp/sick has 4,906 test pairs instead of the protocol's 4,927.
REPOSITORY = "princeton-nlp/datasets-for-simcse"
ARCHIVE = "senteval.tar"  # 90 MB

PAIRS = {
    "STS12": 3108,
    "STS13": 1500,
    "STS14": 3750,
    "STS15": 3000,
    "STS16": 1186,
    "STSBenchmark": 1379,
    "SICKRelatedness": 4927,
}
"""Scored pairs of each task in complete files."""


def download_sts(folder: str | Path) -> Path:
    """Download the seven STS sets to `folder/senteval`, unless they exist, and return that folder.

    These are the files that SimCSE's evaluation reads, with subsets and tokenisation, so scores match to the second
    decimal. They are written atomically, after a check of the number of pairs. Raises a `DataError` if the hub is not
    reachable.
    """
    root = senteval_root(folder)
    if (root / "STS").is_dir() or root != Path(folder):
        _check(root)
        return root
    archive = _fetch()
    target = Path(folder) / "senteval"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".senteval-", dir=target.parent) as name:
        staging = Path(name) / "senteval"
        staging.mkdir()
        _unpack(archive, staging)
        _check(staging)
        os.rename(staging, target)
    return target


def _fetch() -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(REPOSITORY, ARCHIVE, repo_type="dataset"))
    except Exception as error:  # errors of the hub, of httpx and of the system have no common base
        raise DataError(
            f"cannot download {ARCHIVE} of data set {REPOSITORY} from the Hugging Face hub: {error}. {STS_HELP}."
        ) from error


def _unpack(archive: Path, target: Path) -> None:
    """Write the files under `STS/` and `SICK/`; skips links, odd paths and the transfer tasks."""
    try:
        with tarfile.open(archive) as members:
            for member in members:
                parts = PurePosixPath(member.name).parts
                start = next((i for i, part in enumerate(parts) if part in ("STS", "SICK")), None)
                if start is None or ".." in parts or not member.isfile():
                    continue
                content = members.extractfile(member)
                if content is not None:
                    path = target.joinpath(*parts[start:])
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content.read())
    except tarfile.TarError as error:
        raise DataError(f"{archive} is not a complete tar archive ({error}); delete it and download again") from error


def _check(root: Path) -> None:
    for task in load_sts(root):
        pairs = sum(len(subset.pairs.gold) for subset in task.subsets)
        if pairs != PAIRS[task.name]:
            raise DataError(f"{task.name} in {root} has {pairs} scored pairs instead of {PAIRS[task.name]}")
    load_sts_benchmark(root)
