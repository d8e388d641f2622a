"""A model's record and card, and uploading to the hub."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simcse_kit.encoder.backbone import is_encoder_of, whole_of
from simcse_kit.encoder.call import prompt_of
from simcse_kit.encoder.card import model_card
from simcse_kit.encoder.lora import has_lora
from simcse_kit.encoder.modules import Encoder, Normalize
from simcse_kit.encoder.settings import RECORD, Settings
from simcse_kit.encoder.used_parts import used_parts
from simcse_kit.files import staged_file, write_json


def write_card(folder: Path, encoder: Encoder, settings: Settings, record: dict[str, Any], dimension: int) -> None:
    """Write the record and the README, each atomically; vectors have ``dimension`` D."""
    record = record | {"format_version": 1, "pooling": encoder.pooling}
    record["parts"] = used_parts(record)
    card = model_card(
        record,
        dimension,
        length=settings.max_seq_length,
        plain=all(isinstance(module, Normalize) for module in encoder.post)
        and not (settings.do_lower_case or prompt_of(settings, None, None))
        and not is_encoder_of(encoder.config, encoder.backbone),
        portable=whole_of(encoder.backbone) is None,
        adapters=has_lora(encoder),
    )
    with staged_file(folder / RECORD) as staging:
        write_json(staging / RECORD, record)
    with staged_file(folder / "README.md") as staging:
        (staging / "README.md").write_text(card, encoding="utf-8")


def upload(save: Callable[[Path], None], repo_id: str, *, private: bool | None, commit_message: str | None) -> str:
    """Upload what ``save`` writes to the hub repository ``owner/name``, created if missing; returns its URL."""
    from huggingface_hub import HfApi

    api = HfApi()
    url = api.create_repo(repo_id, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        save(Path(temporary) / "model")
        api.upload_folder(
            repo_id=repo_id,
            folder_path=Path(temporary) / "model",
            commit_message=commit_message or "Add a SimCSE sentence encoder",
        )
    return str(url)
