"""`harness score` and `harness subspaces`: what an edit is made from, measured on a checkpoint of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from harness.attribution import base as attribution
from harness.calibration.pairs import Pair, Sample, draw, read_pairs, samples_sha256, tokenise
from harness.errors import UserError
from harness.models.fingerprint import model_fingerprint
from harness.models.loading import LoadedModel, load_checkpoint
from harness.models.tensor_files import write_tensors
from harness.runs.files import storage_error
from harness.runs.regions import one_shot_grams, one_shot_scores
from harness.spec.region import AttributionSettings

DEFAULT_SAMPLES = 128
SCORES_FORMAT = "brittleness-harness scores 1"
GRAMS_FORMAT = "brittleness-harness grams 1"


def score_checkpoint(
    model_dir: Path,
    method: str,
    data: Path | None,
    samples: int | None,
    seed: int,
    settings: AttributionSettings,
    out: Path,
) -> int:
    """Write the scores of a checkpoint's linear layers. Returns the number of samples used.

    samples: None takes 128, or all pairs where there are fewer. Bad input is found before the
    weights are loaded.
    """
    uses_data = attribution.method(method).uses_data
    if uses_data and data is None:
        raise UserError(f"the method {method} needs --data: a CSV file with the columns prompt and response")
    _refuse_existing(out)
    pairs = _drawn(data, samples, seed) if data is not None and uses_data else []
    loaded = load_directory(model_dir)
    tokenised = _tokenised(pairs, loaded)
    scores = one_shot_scores(loaded.model, tokenised, method, settings, seed)
    metadata = {"format": SCORES_FORMAT, "method": method, **_origin(loaded, tokenised, seed, settings)}
    return _write(out, scores, metadata, tokenised)


def gram_checkpoint(
    model_dir: Path, data: Path, samples: int | None, seed: int, settings: AttributionSettings, out: Path
) -> int:
    """Write the Gram matrices of the inputs of a checkpoint's linear layers. Returns the number of samples used.

    samples: as for `score_checkpoint`. Layers that share an input share one stored matrix.
    """
    _refuse_existing(out)
    pairs = _drawn(data, samples, seed)
    loaded = load_directory(model_dir)
    tokenised = _tokenised(pairs, loaded)
    grams = one_shot_grams(loaded.model, tokenised, settings)
    return _write(out, grams, {"format": GRAMS_FORMAT, **_origin(loaded, tokenised, seed, settings)}, tokenised)


def load_directory(model_dir: Path) -> LoadedModel:
    """A checkpoint of the user's, from its directory. Raises UserError if there is none."""
    if not model_dir.is_dir():
        raise UserError(f"{model_dir}: no such checkpoint directory")
    return load_checkpoint(str(model_dir.resolve()))


def _refuse_existing(out: Path) -> None:
    if out.exists():
        raise UserError(f"{out}: exists already")


def _drawn(data: Path, samples: int | None, seed: int) -> list[Pair]:
    pairs = read_pairs(data)
    return draw(pairs, min(DEFAULT_SAMPLES, len(pairs)) if samples is None else samples, seed)


def _tokenised(pairs: Sequence[Pair], loaded: LoadedModel) -> list[Sample]:
    return tokenise(pairs, loaded.tokenizer, int(loaded.model.config.max_position_embeddings))


def _origin(loaded: LoadedModel, samples: Sequence[Sample], seed: int, settings: AttributionSettings) -> dict[str, str]:
    """What a file was measured on."""
    return {
        "model_sha256": model_fingerprint(loaded.model),
        "samples": str(len(samples)),
        "samples_sha256": samples_sha256(samples),
        "seed": str(seed),
        "settings": settings.model_dump_json(),
    }


def _write(out: Path, tensors: dict[str, Tensor], metadata: dict[str, str], samples: Sequence[Sample]) -> int:
    try:
        write_tensors(out, tensors, metadata)
    except OSError as error:
        raise storage_error(error, out) from None
    return len(samples)
