"""On which prompts attention heads are probed, and how the prompts are written."""

from __future__ import annotations

from pydantic import Field, model_validator

from harness.spec.common import MOST, Declared


class ProbeSettings(Declared):
    """Harmful and harmless requests, one a line, split 5:2 into training and validation with `seed`.

    harmful, harmless: names of the variant's datasets. The paper has 420 of each, none of them among
    the 100 requests that it evaluates on (appendix C.4); an organism has its selection requests.
    prompts: the first so many of each; None takes all.
    system_prompt, chat_template: how a request is wrapped, by default as in the vanilla attack. What
    the paper's probes were wrapped in is not recorded here, so a spec that means something else says so.
    """

    harmful: str
    harmless: str
    seed: int = Field(default=0, ge=0)
    prompts: int | None = Field(default=None, gt=1, le=MOST)
    system_prompt: bool = True
    chat_template: bool = True

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets that have to be there."""
        return [self.harmful, self.harmless]

    @model_validator(mode="after")
    def classes_differ(self) -> ProbeSettings:
        """One dataset as both classes would make every head a coin."""
        if self.harmful == self.harmless:
            raise ValueError(f"harmful and harmless are both {self.harmful!r}; expected two datasets")
        return self
