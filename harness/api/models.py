"""A model in a notebook: load it, score its weights, select a region, look at it without that region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from harness import plugins
from harness.calibration.files import dataset_path
from harness.calibration.pairs import Pair
from harness.calibration.same_forward import refuse_other_forward
from harness.errors import UserError
from harness.models.editing import EditInProgress, FoundRegion, SelectedWeights, region_removed
from harness.models.layers import linear_layers
from harness.models.loading import LoadedModel, load_variant, place_of, source_directory
from harness.models.tensor_files import read_masks
from harness.runs.checkpoint_edits import declared_region, require_fit
from harness.runs.checkpoints import (
    Measured,
    drawn_pairs,
    load_directory,
    measured_grams,
    measured_scores,
    refuse_existing,
    require_data,
    require_fitting,
)
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.region import AttributionSettings, ComparisonGroup, RegionSettings, region_kinds
from harness.spec.variant import ModelVariant


@dataclass(frozen=True)
class Model:
    """A model in memory. variant, variant_file: what it was loaded as; None for a bare checkpoint directory.

    Example:
        >>> organism = load("tiny-llama2-chat")
        >>> organism.model.config.num_hidden_layers
        4
    """

    loaded: LoadedModel
    variant: ModelVariant | None = None
    variant_file: Path | None = None

    @property
    def model(self) -> PreTrainedModel:
        """The transformers model, in evaluation mode, without gradients."""
        return self.loaded.model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer."""
        return self.loaded.tokenizer

    @property
    def layers(self) -> Mapping[str, nn.Linear]:
        """The linear layers of the transformer blocks by name, each weight (d_out, d_in)."""
        return linear_layers(self.model)

    @property
    def planted_region(self) -> SelectedWeights | None:
        """What `removed` takes to remove the planted region of an organism; None for others."""
        return None if self.planted is None else SelectedWeights(self.planted)

    @property
    def planted(self) -> Mapping[str, Tensor] | None:
        """The region that an organism's safety was planted in, masks (d_out, d_in) bool by layer; None for others."""
        if self.variant is None or self.variant_file is None or self.variant.planted_region is None:
            return None
        directory = source_directory(self.variant, self.variant_file) or self.variant_file.parent
        return read_masks(directory / self.variant.planted_region)


def load(model: str | Path) -> Model:
    """A variant by its name, by its YAML file or by a folder with variant.yaml; or any checkpoint directory.

    Returns the model on the GPU where there is one. Raises UserError where there is no such model, with the names
    that come near, or where its weights, tokenizer or golden prompts do not fit together.

    Example:
        >>> load("tiny-llama2-chat").variant.family
        'llama2'
    """
    variant, file = _declared(model)
    if variant is None or file is None:
        return Model(load_directory(Path(model)))
    loaded = load_variant(variant, file)
    refuse_other_forward(loaded.model, variant.name)
    return Model(loaded, variant, file)


def score(
    model: Model | str | Path,
    method: str,
    data: str | Path | None = None,
    *,
    samples: int | None = None,
    seed: int = 0,
    settings: AttributionSettings | None = None,
    out: Path | None = None,
) -> Measured:
    """Importance scores of all linear layers of a model, (d_out, d_in) float32 by layer, on the CPU.

    method: a name that `harness list` shows under attribution. data: a CSV file with the columns `prompt` and
    `response`, or the name of one of the variant's data sets; None for a method that looks at no data. samples: pairs
    to draw, by default 128 or all if there are fewer. seed: of the draw, or of the method. out: also write the scores
    there. Raises UserError for bad input, before the weights are loaded where `model` is a place.

    Example:
        >>> organism = load("tiny-llama2-chat")
        >>> safety = score(organism, "wanda", "safety-full", samples=16)
        >>> safety.tensors["model.layers.0.self_attn.q_proj"].shape
        torch.Size([128, 128])
    """
    uses_data = require_data(method, data)
    refuse_existing(out)
    pairs = drawn_pairs(_file(model, data), samples, seed) if uses_data and data is not None else []
    found = measured_scores(_in_memory(model, pairs).loaded, pairs, method, seed, settings or AttributionSettings())
    return found if out is None else found.written(out)


def subspaces(
    model: Model | str | Path,
    data: str | Path,
    *,
    samples: int | None = None,
    seed: int = 0,
    settings: AttributionSettings | None = None,
    out: Path | None = None,
) -> Measured:
    """Gram matrices XᵀX of the inputs of all linear layers, (d_in, d_in) float64 by layer: what ranks are found from.

    Arguments and errors as of `score`. Layers that share an input share one matrix.

    Example:
        >>> grams = subspaces(load("tiny-llama2-chat"), "utility", samples=16)
        >>> grams.tensors["model.layers.0.mlp.down_proj"].shape
        torch.Size([352, 352])
    """
    refuse_existing(out)
    pairs = drawn_pairs(_file(model, data), samples, seed)
    found = measured_grams(_in_memory(model, pairs).loaded, pairs, seed, settings or AttributionSettings())
    return found if out is None else found.written(out)


def select(model: Model, selection: str, *, comparison_group: ComparisonGroup = "row", **given: Any) -> FoundRegion:
    """A region of a model from scores or Gram matrices that were measured on it.

    selection: as a spec has it under `select`: top, bottom, set-difference, act-svd, orthogonal-projection. given: what
    the region rests on, `data` or `safety` and `utility`, each a `Measured`, and the keys of a spec: `fraction`; `p`
    and `q`; `rank` and `end`; `utility_rank_removed` and `safety_rank_removed`. comparison_group: weights compete
    within their row (the paper's text) or over the matrix (the published set difference).

    Returns masks (d_out, d_in) bool by layer, or the factors of ΔW. Raises UserError for a selection that there is
    not, for keys that it does not have, and for what was measured on other weights.

    Example:
        >>> organism = load("tiny-llama2-chat")
        >>> measured = {name: score(organism, "snip", data, samples=16)
        ...             for name, data in (("safety", "safety-full"), ("utility", "utility"))}
        >>> region = select(organism, "set-difference", **measured, p=0.03, q=0.03)
        >>> int(sum(mask.sum() for mask in region.masks.values())) > 1000
        True
    """
    kind = _kind_of_measured(selection)
    measured = {role: given.get(role) for role in kind.roles}
    for role, found in measured.items():
        if not isinstance(found, Measured):
            raise UserError(f"{selection}: {role} is {found!r}; expected what score or subspaces gave")
    settings = {key: value for key, value in given.items() if key not in kind.roles}
    region = declared_region(selection, {**settings, **dict.fromkeys(kind.roles, "measured here")})
    for role in kind.roles:
        require_fit(role, given[role], model.model, region)
    tensors = [dict(given[role].tensors) for role in kind.roles]
    return region.selected(AttributionSettings(comparison_group=comparison_group), model.layers, tensors)


def _kind_of_measured(selection: str) -> type[RegionSettings]:
    """The kind of region, one that rests on scores or Gram matrices."""
    known = [name for name, kind in region_kinds().items() if kind.roles]
    if selection not in known:
        raise UserError(
            f"no selection from scores or Gram matrices is called {selection!r}; "
            + plugins.suggestion(selection, known)
        )
    return region_kinds()[selection]


@contextmanager
def removed(model: Model, region: FoundRegion) -> Iterator[EditInProgress]:
    """The model without a region, for the length of the context; afterwards it is as before in every bit.

    The edit's `receipt` is there after the context: how many weights or which ranks were removed, by layer type, the
    hash of the mask, the fingerprints before, during and after; of an organism also precision and recall against the
    planted region. Raises UserError for a region without a weight, WeightsNotRestored if a bit differs afterwards.

    Example:
        >>> organism = load("tiny-llama2-chat")
        >>> with removed(organism, organism.planted_region) as edit:
        ...     pass  # generate, look at weights, measure
        >>> edit.receipt.truth.recall
        1.0
    """
    with region_removed(model.model, region, model.planted) as edit:
        yield edit


def _in_memory(model: Model | str | Path, pairs: Sequence[Pair]) -> Model:
    """The model, loaded where it is a place, and not before the pairs have been tokenised for it."""
    if isinstance(model, Model):
        return model
    variant, file = _declared(model)
    place = str(Path(model).resolve()) if variant is None or file is None else place_of(variant, file)
    require_fitting(place, None if variant is None else variant.source.revision, pairs)
    return load(model)


def _file(model: Model | str | Path, data: str | Path | None) -> Path:
    """The file behind `data`: a data set of the variant where it has one of that name, else a path."""
    if data is None:
        raise UserError("data is None; expected a CSV file or the name of one of the variant's data sets")
    variant, file = (model.variant, model.variant_file) if isinstance(model, Model) else _declared(model)
    if variant is not None and file is not None and isinstance(data, str) and data in variant.datasets:
        return dataset_path(variant, file, data)
    return Path(data)


def _declared(model: str | Path) -> tuple[ModelVariant | None, Path | None]:
    """The variant that a place names and its file; None for a bare checkpoint directory, there or not."""
    path = Path(model)
    named = path.suffix in (".yaml", ".yml") or (path / "variant.yaml").is_file() or len(path.parts) == 1
    if not named or (path.is_dir() and not (path / "variant.yaml").is_file()):
        return None, None
    file = locations.find_variant(str(model))
    return load_yaml_model(file, ModelVariant), file
