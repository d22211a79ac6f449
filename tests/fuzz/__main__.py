"""Fuzzes the reading of bodies: `python -m tests.fuzz --runs 1000000`.

Coverage of our own modules guides it where atheris is installed (Linux); elsewhere bodies are drawn
without a guide. Ends with a table of outcomes, or with the body that broke a promise.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from importlib.util import find_spec
from random import Random

_MAX_INPUT = 8192


class Fuzzer:
    """Feeds inputs to the promises and counts what came of them.

    An input's first byte chooses source, content type and coding; the rest is the body.
    """

    def __init__(self, runs: int, seed: int) -> None:
        from telemetry_contracts.registry import load_registry
        from telemetry_contracts.tokens import KeyRing
        from tests.fuzz.promises import CODINGS, TYPES, Promises

        self._promises = Promises(load_registry(), KeyRing({1: bytes(range(32))}))
        self._choices = [
            (source, content_type, coding)
            for source in range(len(self._promises.sources))
            for content_type in TYPES
            for coding in CODINGS
        ]
        self._runs = runs
        self._random = Random(seed)
        self._outcomes: Counter[str] = Counter()
        self._sent_bytes = 0
        self._started = time.monotonic()

    def one(self, data: bytes) -> None:
        """Try one input; report when it was the last."""
        choice = self._choices[data[0] % len(self._choices) if data else 0]
        try:
            outcome = self._promises.keep(*choice, data[1:])
        except BaseException:
            print(f"broken by the input {data!r}", file=sys.stderr, flush=True)
            raise
        self._outcomes[outcome] += 1
        self._sent_bytes += len(data[1:])
        if self._outcomes.total() == self._runs:
            self._report()

    def draw(self) -> bytes:
        """Return an input made of golden events."""
        from tests.fuzz import mutations

        choice = self._random.randrange(len(self._choices))
        source, _, coding = self._choices[choice]
        text = mutations.body(self._random, self._promises.sources[source])
        return bytes([choice]) + mutations.encode(self._random, text, coding)

    def mutate(self, data: bytes, max_size: int, _seed: int) -> bytes:
        """Return a new drawing, or the input with some of its bytes changed; for atheris."""
        from tests.fuzz import mutations

        if not data or self._random.random() < 0.75:
            return self.draw()[:max_size]
        for _ in range(self._random.choice((1, 1, 2, 4))):
            data = mutations.damage(self._random, data)
        return data[:max_size]

    def _report(self) -> None:
        seconds = time.monotonic() - self._started
        print(f"{self._runs:,} bodies of {self._sent_bytes:,} bytes in {seconds:.0f} s")
        for outcome, count in self._outcomes.most_common():
            print(f"{count:>12,}  {outcome}")
        print("every promise held", flush=True)


def main() -> None:
    """Run the fuzzer."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if find_spec("atheris") is None:
        fuzzer = Fuzzer(options.runs, options.seed)
        for _ in range(options.runs):
            fuzzer.one(fuzzer.draw())
        return
    _run_atheris(options.runs, options.seed)


def _run_atheris(runs: int, seed: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["ingest_lambda", "telemetry_contracts"]):
        fuzzer = Fuzzer(runs, seed)
    options = {"runs": runs, "seed": seed, "max_len": _MAX_INPUT, "verbosity": 0}
    arguments = [sys.argv[0], *(f"-{name}={value}" for name, value in options.items())]
    atheris.Setup(arguments, fuzzer.one, custom_mutator=fuzzer.mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
