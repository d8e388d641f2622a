"""Dies at every step of replacing a folder, and looks at what is left: replace_and_die.py FOLDER WAY

WAY is exchange, journal (where the system has no exchange), first (no old files), overwrite or overwrite-journal (one
whole folder for another). Each life is a child that kills itself at its n-th call to the system, n = 1, 2, ... until
one lives to the end.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

from simcse_kit.files import complete, replace_folder, replacing, staged_folder

STEPS = ("open", "os.", "shutil.")
OLD = {"config": "old", "weights": "old", "1_Old/config": "old"}
NEW = {"config": "new", "weights": "new", "2_New/config": "new"}
OTHERS = {"run.json": "mine", "notes/a/b.txt": "mine", "checkpoint-3/weights": "mine", "1_Old/mine": "mine"}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def die_at(number: int) -> None:
    count = 0

    def hook(event: str, arguments: object) -> None:
        nonlocal count
        count += event.startswith(STEPS)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def ours(path: str) -> bool:
    return path in ("config", "weights") or path.endswith("/config")


def replace(target: Path, way: str) -> None:
    if way.startswith("overwrite"):
        replace_folder(target.parent / ".m.running", target)
        return
    with staged_folder(target, replaces=ours) as staging:
        write(staging, NEW)


def main() -> None:
    place, way = Path(sys.argv[1]), sys.argv[2]
    os.fsync = lambda fd: None  # a killed process loses nothing written, and disks are slow
    if way.endswith("journal"):
        replacing._exchange_function = lambda: None  # type: ignore[assignment]
    target, number, seen = place / "m", 0, []
    while True:
        number += 1
        shutil.rmtree(place, ignore_errors=True)
        old = OTHERS if way == "first" else OLD | OTHERS
        new = NEW if way.startswith("overwrite") else NEW | OTHERS
        write(target, old)
        if way.startswith("overwrite"):
            write(place / ".m.running", NEW | {".unfinished": ""})
        child = os.fork()
        if child == 0:
            die_at(number)
            replace(target, way)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        died = os.WIFSIGNALED(status)
        assert died or status == 0, f"step {number}: an error"
        complete(target)
        found = {
            name: text for name, text in content(target).items() if not name.startswith((".staging", ".unfinished"))
        }
        assert found in (old, new), f"step {number}: {found}"
        seen.append(found == new)
        if not died:
            break
        if not way.startswith("overwrite"):
            replace(target, way)
            assert content(place) == {f"m/{name}": text for name, text in new.items()}, f"after step {number}"
    assert seen == sorted(seen), "old again after new"
    assert seen[-1]
    assert not seen[0]
    print(f"{number} lives, {seen.count(False)} left the old folder")


if __name__ == "__main__":
    main()
