"""What every reader of a record may rely on in its spec and its variant, whatever version wrote them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

Plain = float | int | str | bool | None


class _Shape(BaseModel):
    """A part of which more may be there than is known."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Region(_Shape):
    select: str


class _FineTuning(_Shape):
    method: str | None = None
    examples: int | str | None = None
    frozen: _Region | None = None


class _Cell(_Shape):
    id: str
    title: str
    region: _Region | None = None
    fine_tuning: _FineTuning | None = None


class _Evaluation(_Shape):
    kind: str
    name: str | None = None
    temperature: float | None = None
    benign: bool | None = None


class _Validity(_Shape):
    minimum_fit_share: float = 0.5


class _Claim(_Shape):
    id: str


class _Source(_Shape):
    work: str
    figure: str | None = None
    table: str | None = None
    section: str | None = None


class _Spec(_Shape):
    id: str
    title: str
    source: _Source
    calibration: dict[str, dict[str, Plain]] = {}
    attribution: dict[str, Plain] = {}
    validity: _Validity = _Validity()
    cells: list[_Cell] = []
    evaluations: list[_Evaluation] = []
    claims: list[_Claim] = []
    layout: str | None = None


class _Variant(_Shape):
    name: str
    title: str | None = None
    dtype: str | None = None
    engine: str | None = None
    chat_template: str | None = None
    system_prompt: str | None = None
    planted_region: str | None = None
    show_completions: bool = False
    datasets: dict[str, dict[str, Plain]] = {}
    zero_shot_tasks: list[str] = []


def _shaped(shape: type[_Shape]) -> AfterValidator:
    def checked(content: dict[str, Any]) -> dict[str, Any]:
        shape.model_validate(content)
        return content

    return AfterValidator(checked)


#: A spec and a variant as records hold them.
RecordedSpec = Annotated[dict[str, Any], _shaped(_Spec)]
RecordedVariant = Annotated[dict[str, Any], _shaped(_Variant)]
