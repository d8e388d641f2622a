"""Safe writing: a folder or file is written atomically, even with other writers and after a kill at any time."""

from simcse_kit.files.disk import (
    DiskFullError,
    as_written,
    disk_full_named,
    existing_parent,
    follow_umask,
    free_bytes,
    make_folder,
    read_json,
    sync,
    sync_all,
    write_json,
)
from simcse_kit.files.locks import changing, leads_to, only_writer, owned, owner
from simcse_kit.files.replacing import MARK, complete, replace_folder
from simcse_kit.files.staging import at_work, staged_file, staged_folder, write_json_lines

__all__ = [
    "MARK",
    "DiskFullError",
    "as_written",
    "at_work",
    "changing",
    "complete",
    "disk_full_named",
    "existing_parent",
    "follow_umask",
    "free_bytes",
    "leads_to",
    "make_folder",
    "only_writer",
    "owned",
    "owner",
    "read_json",
    "replace_folder",
    "staged_file",
    "staged_folder",
    "sync",
    "sync_all",
    "write_json",
    "write_json_lines",
]
