"""Files of the package that a sentence and a query pass through: python .ci/paths.py

Traces two real runs with a tiny model and without speed-ups (SIMCSE_KIT_PLAIN=1): training from opening the text file
to the first loss, and a search from the text of the query to its hits. A file counts when one of its functions runs.

A run reads its whole file before it loads the model, so a bad row is an error at once. The first list therefore
contains loading and checking. Two more lists count the same run from tokenizing the texts, and from the batch of the
first step.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

os.environ |= {"SIMCSE_KIT_PLAIN": "1", "HF_HUB_OFFLINE": "1"}
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


class Traced:
    """Files of the package in the order of their first executed function.

    ``first`` is the file where the trace begins, ``function`` the function in it ("": any), and ``until`` the function
    whose return ends it.
    """

    def __init__(self, package: Path, first: str = "", function: str = "", until: str = "") -> None:
        self.package, self.first, self.function, self.until = f"{package}{os.sep}", first, function, until
        self.files, self.ended = dict[str, str](), False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        self.ended |= bool(self.files) and event == "return" and code.co_name == self.until
        if self.ended:
            return
        if event != "call" or not code.co_filename.startswith(self.package) or code.co_name in ("<module>", "<lambda>"):
            return
        name = code.co_filename.removeprefix(self.package)
        if name.startswith("cli/"):
            return
        if not self.files and self.first and (name != self.first or self.function not in ("", code.co_name)):
            return
        self.files.setdefault(name, code.co_name)


@contextmanager
def traced(*counts: Traced) -> Iterator[None]:
    """Count every call inside the context."""

    def call(frame: FrameType, event: str, argument: Any) -> None:
        for count in counts:
            count(frame, event, argument)

    sys.setprofile(call)
    try:
        yield
    finally:
        sys.setprofile(None)


def main() -> None:
    """Trace both runs and print the files."""
    import simcse_kit

    for module in pkgutil.walk_packages(simcse_kit.__path__, "simcse_kit."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):  # an extra is missing
                importlib.import_module(module.name)  # now, so that class bodies do not count in the trace
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
        training = Traced(package, "data/text.py", until="compute_loss")
        tokens = Traced(package, "training/views.py", "make_views", until="compute_loss")
        step = Traced(package, "training/sampling.py", "batches", until="compute_loss")
        with traced(training, tokens, step):
            try:
                train_unsup(work / "corpus.txt", work / "run", model=model, batch_size=8, device="cpu", listener=Stop())
            except FirstLoss:
                sys.setprofile(None)
        encoder = SimCSE(model, pooling="mean", device="cpu")
        SentenceIndex.build(encoder, SENTENCES).save(work / "index")
        index = SentenceIndex.open(work / "index", encoder)
        index.search("warm up", k=3)
        query = Traced(package)
        with traced(query):
            index.search("a cat on a sofa", k=3)
    for what, count in (
        ("from the text file to the loss", training),
        ("of these, from tokenizing the texts to the loss", tokens),
        ("of these, from the batch of the first step to the loss", step),
        ("from the query to the hits", query),
    ):
        print(f"{what}: {len(count.files)} files")
        for file, function in count.files.items():
            print(f"  {file}  {function}")


if __name__ == "__main__":
    main()
