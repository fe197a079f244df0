"""A zero-shot task with data of its own: what of lm-eval's YAML format a file may say, and nothing that runs code."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr, model_validator

from harness.spec.common import Name, Strict

#: Alone these: lm-eval looks elsewhere for a metric whose name it does not know, and runs what it finds.
Metric = Literal["acc", "acc_norm", "acc_bytes", "brier_score", "f1", "mcc"]
Aggregation = Literal["mean", "brier_score", "f1", "mcc"]
Scalar = StrictBool | StrictInt | Annotated[float, Field(allow_inf_nan=False)] | StrictStr | None
#: A file beside the YAML: no address, no pattern, no file within an archive.
DataFile = Annotated[str, Field(pattern=r"^[^*?\[\]{}:\x00-\x1f]+$", max_length=1000)]


class TaskMetric(Strict):
    """One of lm-eval's own metrics by name."""

    metric: Metric
    aggregation: Aggregation = "mean"
    higher_is_better: bool = True


class DataFiles(Strict):
    """The items by split, in files beside the YAML."""

    data_files: dict[Name, DataFile] = Field(min_length=1)


class ZeroShotTask(Strict):
    """Multiple choice over a JSON, CSV or Parquet file. doc_to_*: a column, or a Jinja template over the columns.

    What lm-eval's format can say besides, functions, filters, prompts of other packages, data sets with code, is no
    key here.
    """

    task: Name
    task_alias: str | None = None
    tag: str | list[str] | None = None
    dataset_path: Literal["json", "csv", "parquet"]
    dataset_name: None = None
    dataset_kwargs: DataFiles
    training_split: Name | None = None
    validation_split: Name | None = None
    test_split: Name | None = None
    output_type: Literal["multiple_choice"]
    description: str = ""
    doc_to_text: StrictInt | StrictStr
    doc_to_target: StrictInt | StrictStr
    doc_to_choice: StrictStr | list[StrictStr] | dict[str, StrictStr]
    gen_prefix: str | None = None
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    num_fewshot: Literal[0] | None = None
    metric_list: list[TaskMetric]
    metadata: dict[str, Scalar] = Field(default_factory=dict)

    @model_validator(mode="after")
    def whole(self) -> ZeroShotTask:
        """What is asked must be in a file, and judged by its accuracy."""
        asked = self.test_split or self.validation_split
        if asked is None:
            raise ValueError("give test_split or validation_split: which of the data_files is asked")
        missing = {self.training_split, self.validation_split, self.test_split} - {
            None,
            *self.dataset_kwargs.data_files,
        }
        if missing:
            raise ValueError(f"data_files name no {', '.join(sorted(map(str, missing)))}; expected every split's file")
        if "acc" not in [each.metric for each in self.metric_list]:
            raise ValueError("metric_list holds no acc, which is the accuracy that is measured")
        return self

    @property
    def templates(self) -> list[str]:
        """What may be rendered: every text among description, doc_to_* and gen_prefix."""
        written = (self.description, self.doc_to_text, self.doc_to_target, self.doc_to_choice, self.gen_prefix)
        return [text for text in written if isinstance(text, str) and ("{{" in text or "{%" in text)]
