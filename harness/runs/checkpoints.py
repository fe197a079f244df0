"""`harness score` and `harness subspaces`: what an edit is made from, measured on a checkpoint of the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from harness.attribution import base as attribution
from harness.calibration.pairs import Pair, Sample, draw, read_pairs, samples_sha256, tokenise
from harness.calibration.same_forward import refuse_other_forward
from harness.errors import UserError
from harness.low_rank.grams import one_shot_grams
from harness.models.fingerprint import model_fingerprint
from harness.models.loading import LoadedModel, checkpoint_tokenizer, context_of, load_checkpoint
from harness.models.tensor_files import read_tensors, write_tensors
from harness.reading import real
from harness.regions.base import Grams, Scores
from harness.runs.files import require_writable, storage_error
from harness.runs.scoring import one_shot_scores
from harness.spec.region import AttributionSettings

DEFAULT_SAMPLES = 128


@dataclass(frozen=True)
class Measured:
    """Scores or Gram matrices by layer, and what they were measured with.

    tensors: scores (d_out, d_in) float32 or Grams (d_in, d_in), on the CPU. metadata: what `written` puts beside them.
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    @property
    def samples(self) -> int:
        """The number of pairs behind them."""
        return int(self.metadata.get("samples", "0"))

    def written(self, out: Path) -> Measured:
        """Write a safetensors file that `harness edit` takes. Raises UserError where it exists, MachineError for a
        full disk. Returns itself."""
        refuse_existing(out)
        try:
            write_tensors(out, self.tensors, self.metadata, new=True)
        except FileExistsError:
            raise UserError(f"{out}: exists already: another command has written it meanwhile") from None
        except OSError as error:
            raise storage_error(error, out) from None
        return self

    @classmethod
    def read(cls, path: Path) -> Measured:
        """What `written` wrote. Raises UserError for a file that is missing, damaged or of another kind."""
        tensors, metadata = read_tensors(path)
        if metadata.get("format") not in (Scores.file_format, Grams.file_format):
            raise UserError(
                f"{path}: holds {metadata.get('format', 'no format')!r}; expected a file of harness score or harness "
                "subspaces"
            )
        return cls(tensors, metadata)


def require_data(method: str, data: str | Path | None) -> bool:
    """Whether a method looks at calibration data. Raises UserError for an unknown one, and where data are missing."""
    uses_data = attribution.method(method).uses_data
    if uses_data and data is None:
        raise UserError(f"the method {method} needs --data: a CSV file with the columns prompt and response")
    return uses_data


def measured_scores(
    loaded: LoadedModel, pairs: Sequence[Pair], method: str, seed: int, settings: AttributionSettings
) -> Measured:
    """Scores of the linear layers of a model as it is now."""
    tokenised = _tokenised(pairs, loaded)
    scores = one_shot_scores(loaded.model, tokenised, method, settings, seed)
    metadata = {"format": Scores.file_format, "method": method, **_origin(loaded, tokenised, seed, settings)}
    return Measured(scores, metadata)


def measured_grams(loaded: LoadedModel, pairs: Sequence[Pair], seed: int, settings: AttributionSettings) -> Measured:
    """Gram matrices of the inputs of the linear layers of a model as it is now; a shared input shares one matrix."""
    tokenised = _tokenised(pairs, loaded)
    grams = one_shot_grams(loaded.model, tokenised, settings)
    return Measured(grams, {"format": Grams.file_format, **_origin(loaded, tokenised, seed, settings)})


def require_directory(model_dir: Path) -> None:
    """Raises UserError where no checkpoint lies: by that name the hub would be asked."""
    if not model_dir.is_dir():
        raise UserError(f"{model_dir}: no such checkpoint directory")


def load_directory(model_dir: Path) -> LoadedModel:
    """A checkpoint of the user's, from its directory. Raises UserError if there is none."""
    require_directory(model_dir)
    loaded = load_checkpoint(str(real(model_dir)))
    refuse_other_forward(loaded.model, str(model_dir))
    return loaded


def require_fitting(place: str, revision: str | None, pairs: Sequence[Pair]) -> None:
    """Raises UserError, before the weights are loaded, where a pair cannot be tokenised for a checkpoint."""
    tokenizer, config = checkpoint_tokenizer(place, revision)
    tokenise(pairs, tokenizer, context_of(place, config))


def refuse_existing(out: Path | None) -> None:
    """Raises UserError where a file that would be written is there already, or cannot be written."""
    if out is not None:
        if out.exists():
            raise UserError(f"{out}: exists already")
        require_writable(out)


def drawn_pairs(data: Path, samples: int | None, seed: int) -> list[Pair]:
    """Pairs of a CSV file, drawn with a seed; samples: None takes 128, or all where there are fewer."""
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
