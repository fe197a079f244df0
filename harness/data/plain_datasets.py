"""Data sets and metrics as lm-eval asks for them, without what could run code: for its own tasks, and for any other.

lm-eval asks `datasets` for whatever a repository on the hub holds, and `evaluate` for metrics that it does not know,
which are scripts. Here both take plain forms and its own metrics alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from harness.errors import UserError

#: Forms that hold values alone. `cache` is what `datasets` calls its own copy of one of these, in Arrow's form.
PLAIN = ("json", "csv", "parquet", "text", "arrow", "cache")
_BUILDERS = "datasets.packaged_modules."


def install() -> None:
    """Have lm-eval, and the modules that come with it, read data sets and look up metrics by what stands here."""
    import datasets
    from lm_eval.api import task

    if datasets.load_dataset is not load_plain_dataset:
        datasets.load_dataset = load_plain_dataset
        task.get_metric = own_metric


def load_plain_dataset(path: str, name: str | None = None, **options: Any) -> Any:
    """As datasets.load_dataset. Raises UserError for a data set in another form, before anything of it is read."""
    from datasets import load_dataset_builder
    from datasets.load import load_dataset

    known = inspect.signature(load_dataset_builder).parameters
    builder = load_dataset_builder(path, name, **{key: value for key, value in options.items() if key in known})
    if (form := _form(type(builder))) not in PLAIN:
        raise UserError(f"the data set {path!r} is in the form {form!r}; expected one of {', '.join(PLAIN[:-1])}")
    return load_dataset(path, name, **options)


def _form(builder: type) -> str:
    """The packaged module of `datasets` that a builder is of, or its module: what is none of them is somebody's own."""
    modules = [base.__module__ for base in builder.__mro__]
    packaged = [module.removeprefix(_BUILDERS).partition(".")[0] for module in modules if module.startswith(_BUILDERS)]
    return next(iter(packaged), modules[0])


def own_metric(name: str, hf_evaluate_metric: bool = False) -> Callable[..., Any] | None:
    """One of lm-eval's own metrics. Raises UserError for any other, which `evaluate` would load as a script."""
    import lm_eval.api.metrics  # noqa: F401 - it fills the registry
    from lm_eval.api.registry import metric_registry

    if hf_evaluate_metric or name not in metric_registry:
        raise UserError(f"the metric {name!r} is none of lm-eval's own, and would be a script of the hub")
    found: Callable[..., Any] | None = metric_registry.get(name)
    return found
