"""Builds an index in Milvus and, if told, kills itself in the middle: build_and_die.py MODEL FILE URI AT WHEN NAME...

AT: the upsert at which it sends itself SIGKILL, WHEN: before or after it; AT 0: it lives, builds an index of each name,
and prints their rows as JSON. Each text that it encodes is a line of ``encoded.txt`` beside the file.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from simcse_kit import SearchIndexError, SimCSE
from simcse_kit.index import build, incoming
from simcse_kit.search import open_collection
from simcse_kit.search.milvus.remote import Connection


def main() -> None:
    model_folder, file, uri, at, when, *names = sys.argv[1:]
    incoming.READ = 6
    model = SimCSE(model_folder, device="cpu")
    encode, call, calls = model.encode_document, Connection.call, 0

    def encoding(texts: list[str], **options: Any) -> Any:
        with (Path(file).parent / "encoded.txt").open("a", encoding="utf-8") as log:
            log.writelines(f"{text}\n" for text in texts)
        return encode(texts, **options)

    def calling(self: Connection, method: str, **arguments: Any) -> Any:
        nonlocal calls
        calls += method == "upsert"
        dies = method == "upsert" and calls == int(at)
        if dies and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = call(self, method, **arguments)
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    model.encode_document = encoding  # type: ignore[method-assign, assignment]
    Connection.call = calling  # type: ignore[method-assign, assignment]
    if at == "0":
        try:
            open_collection(names[0], store="milvus", uri=uri)
        except SearchIndexError as error:
            print(error)
    found = []
    for name in names:
        index, counts = build.build_index(
            model, file, name, columns=["text"], id_column="key", metadata_columns=["lang"], store="milvus", uri=uri
        )
        index.verify()
        rows = [[row.id, row.text, row.metadata, vector.tolist()] for row, vector in index._collection.rows()]
        found.append({"rows": rows, "counts": counts})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
