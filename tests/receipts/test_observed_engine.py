"""An observed engine is an engine: all that it is asked reaches the one behind it."""

from harness.engines.base import Engine
from harness.receipts.observed_engine import ObservedEngine


class Told:
    """Keeps what it was told."""

    def __init__(self):
        self.calls = []

    def rest(self):
        self.calls.append("rest")

    def close(self):
        self.calls.append("close")


def test_memory_is_given_back_by_the_engine_behind_it():
    engine = Told()
    watched = ObservedEngine(engine)
    watched.rest()
    watched.close()
    assert engine.calls == ["rest", "close"]


def test_it_has_everything_that_an_engine_has():
    assert {name for name in vars(Engine) if not name.startswith("_")} <= set(dir(ObservedEngine))
