"""How sure the model is of the first token of its answer."""

from math import exp
from typing import Literal

from harness.evaluations import base
from harness.formulas.statistics import mean
from harness.spec.evaluation import DeclaredEvaluation


class Settings(DeclaredEvaluation):
    """The first `prompts` requests of `dataset`, in the variant's chat template."""

    kind: Literal["first-token"]
    name: str = "first_token"
    dataset: str
    prompts: int

    @property
    def datasets(self):
        """Names of the datasets that have to be there."""
        return [self.dataset]

    @property
    def metrics(self):
        """Names of the metrics that `measure` gives."""
        return [self.name]


class Evaluation(base.Evaluation[Settings]):
    """See harness.evaluations.base.Evaluation."""

    def measure(self, context):
        """The mean probability of the likeliest first token."""
        from harness.calibration.files import read_lines
        from harness.models.prompts import PromptStyle

        style = PromptStyle(system_prompt=True, chat_template=True)
        requests = read_lines(context.path_of(self.settings.dataset))[: self.settings.prompts]
        prompts = [tuple(context.formatter.ids(context.formatter.text(request, style, None))) for request in requests]
        likeliest = context.engine.first_tokens(prompts, 1)
        estimate = mean([exp(max(tokens.values())) for tokens in likeliest])
        return base.EvaluationResult(measurements=(base.measurement_of(self.settings.name, estimate),))
