"""The files of the package that a sentence and a query pass through: python .ci/paths.py

Traces two real runs with a tiny model and the plain paths (SIMCSE_KIT_PLAIN=1): training from opening the text file to
the first loss, and a search from the query's text to its hits. A file counts where one of its functions is executed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

os.environ |= {"SIMCSE_KIT_PLAIN": "1", "HF_HUB_OFFLINE": "1"}
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


class Traced:
    """Files of the package in the order of their first executed function, from a first file on."""

    def __init__(self, package: Path, first: str = "") -> None:
        self.package, self.first, self.files = f"{package}{os.sep}", first, dict[str, str]()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(self.package) or code.co_name in ("<module>", "<lambda>"):
            return
        name = code.co_filename.removeprefix(self.package)
        if name.startswith("cli/") or (self.first and not self.files and name != self.first):
            return
        self.files.setdefault(name, code.co_name)

    def __enter__(self) -> Traced:
        sys.setprofile(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


def main() -> None:
    """Trace both and print the files."""
    import simcse_kit
    import simcse_kit.training.fit
    import simcse_kit.training.trainer
    from simcse_kit import SentenceIndex, SimCSE, TrainListener, train_unsup
    from support.tiny import SENTENCES, make_model

    class FirstLoss(Exception):
        pass

    class Stop(TrainListener):
        def stepped(self, step: int, steps: int) -> None:
            raise FirstLoss

    package = Path(simcse_kit.__file__).parent
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        model = make_model("bert", work / "bert")
        (work / "corpus.txt").write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
        training = Traced(package, "data/text.py")
        with training:
            try:
                train_unsup(work / "corpus.txt", work / "run", model=model, batch_size=8, device="cpu", listener=Stop())
            except FirstLoss:
                sys.setprofile(None)
        encoder = SimCSE(model, pooling="mean", device="cpu")
        SentenceIndex.build(encoder, SENTENCES).save(work / "index")
        index = SentenceIndex.open(work / "index", encoder)
        index.search("warm up", k=3)
        query = Traced(package)
        with query:
            index.search("a cat on a sofa", k=3)
    for what, traced in (("from the text file to the loss", training), ("from the query to the hits", query)):
        print(f"{what}: {len(traced.files)} files")
        for file, function in traced.files.items():
            print(f"  {file}  {function}")


if __name__ == "__main__":
    main()
