"""Fetching the STS sets once, as SimCSE's own evaluation uses them."""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from simcse_kit.errors import DataError
from simcse_kit.evaluation.sts import STS_HELP, load_sts, load_sts_benchmark, senteval_root

# The archive that SimCSE's download_dataset.sh unpacks. Flat copies on the hub (mteb/sts12-sts, ...) have no subset
# names, and RobZamp/sick has 4,906 test pairs where the protocol has 4,927.
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
"""Scored pairs of each task when its files are whole."""


def download_sts(folder: str | Path) -> Path:
    """Put the seven STS sets into `folder/senteval` and return it; nothing is fetched where they are already there.

    The files are those that SimCSE's evaluation reads, subsets and tokenisation included, so scores match it to the
    second decimal. They appear whole, with known numbers of pairs, or not at all. A hub that cannot be reached is a
    `DataError`.
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
    except Exception as error:  # the hub's, httpx's and the system's errors have no common base
        raise DataError(
            f"cannot download {ARCHIVE} of data set {REPOSITORY} from the Hugging Face hub: {error}. {STS_HELP}."
        ) from error


def _unpack(archive: Path, target: Path) -> None:
    """Write the files under `STS/` and `SICK/`; links, odd paths and the transfer tasks are left out."""
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
        raise DataError(f"{archive} is not a whole tar archive ({error}); delete it and download again") from error


def _check(root: Path) -> None:
    for task in load_sts(root):
        pairs = sum(len(subset.pairs.gold) for subset in task.subsets)
        if pairs != PAIRS[task.name]:
            raise DataError(f"{task.name} in {root} has {pairs} scored pairs; {PAIRS[task.name]} are expected")
    load_sts_benchmark(root)
