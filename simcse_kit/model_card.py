"""The README of a saved model."""

from __future__ import annotations

from typing import Any

_CARD = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
- sentence-similarity
- feature-extraction
- simcse
---
# A SimCSE sentence encoder

Maps a sentence to {dimension} numbers. Pooling: `{pooling}`.{training}

```python
from simcse_kit import SimCSE

model = SimCSE("path/or/name/of/this/model")
vectors = model.encode(["A man is playing music.", "Somebody plays the guitar."], normalize_embeddings=True)
```

The same vectors come from sentence-transformers{needs}:

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/or/name/of/this/model")
vectors = model.encode(["A man is playing music."], normalize_embeddings=True)
```

`simcse_kit.json` says how it was made.
"""


def model_card(record: dict[str, Any], dimension: int, *, adapters: bool = False) -> str:
    """README text for a folder whose ``simcse_kit.json`` is ``record``; ``adapters``: of LoRA, without their base."""
    training = ""
    if "objective" in record:
        training = (
            f" Trained with `{record['objective']}` ({record.get('mode', 'unsup')}) from `{record.get('model', '')}`."
        )
    needs = " (the folder holds LoRA adapters: `pip install peft`)" if adapters else ""
    return _CARD.format(dimension=dimension, pooling=record.get("pooling"), training=training, needs=needs)
