"""Golden prompts: the token ids that a variant's tokenizer and template give for a few harmless requests."""

from __future__ import annotations

from pydantic import Field

from harness.spec.common import Declared, Name


class GoldenPrompt(Declared):
    """One request, how it is wrapped, and the ids of the whole prompt, BOS included."""

    request: str
    suffix: str | None = None
    system_prompt: bool
    chat_template: bool
    token_ids: tuple[int, ...] = Field(min_length=1)


class GoldenPrompts(Declared):
    """benchmarks/models/prompts/<variant>.yaml.

    chat_template: the variant's, by name. system_prompt_sha256: of the system prompt that is in the ids.
    obtained: where the ids come from.
    """

    variant: Name
    chat_template: str
    system_prompt_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    template_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    obtained: str
    prompts: tuple[GoldenPrompt, ...] = Field(min_length=1)
