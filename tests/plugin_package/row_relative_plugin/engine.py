"""transformers' generation without batches, and so without padding."""

from harness.engines.hf import HfEngine, problems  # what it needs
from row_relative_plugin.versions import VERSION


def version():
    """Name and version of what computes."""
    return VERSION


def make(loaded):
    """The engine on a loaded model."""
    return OneAtATime(loaded)


class OneAtATime(HfEngine):
    """See harness.engines.base.Engine."""

    def generate(self, requests):
        """Answers in the order of the requests."""
        return [super(OneAtATime, self).generate([request])[0] for request in requests]


__all__ = ["make", "problems", "version"]
