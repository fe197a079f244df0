"""|W| relative to the mean of its row."""

from harness.attribution.base import AttributionMethod


class Method(AttributionMethod):
    """See harness.attribution.base.AttributionMethod."""

    uses_data = False

    def score(self, stream, layers, settings, seed):
        """Importance of every weight by layer, (d_out, d_in), larger is more important."""
        size = {name: layer.weight.abs().cpu() for name, layer in layers.items()}
        return {name: w / w.mean(dim=1, keepdim=True).clamp_min(1e-12) for name, w in size.items()}
