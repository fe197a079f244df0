"""Numbers as people read them."""


def rounded(value: float) -> str:
    """Three decimals; two significant digits where these would be 0.000 or 0.001 for what is neither."""
    return f"{value:.1e}" if 0 < abs(value) < 0.0015 else f"{value:.3f}"
