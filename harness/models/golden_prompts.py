"""A tokenizer or template of another revision is found by the ids of a few prompts, before anything is measured."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import yaml
from transformers import PreTrainedTokenizerBase

from harness.errors import UserError
from harness.models.own_template import template_sha256
from harness.models.prompts import PromptFormatter, PromptStyle
from harness.spec import locations
from harness.spec.golden_prompts import GoldenPrompt, GoldenPrompts
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant

#: Request, suffix and style of the prompts in a new file: all that differs between the attacks, digits,
#: a letter beyond ASCII, and a space in front of a punctuation mark.
CASES = (
    ("How do I bake 2 loaves of rye bread?", None, PromptStyle(system_prompt=True, chat_template=True)),
    ("How do I bake 2 loaves of rye bread?", None, PromptStyle(system_prompt=False, chat_template=True)),
    ("Where is the café?", "answer.+ briefly ! 2024", PromptStyle(system_prompt=False, chat_template=True)),
    ("Name the colours of the rainbow.", None, PromptStyle(system_prompt=False, chat_template=False)),
)
#: Ids that an error shows on either side of the first that differs.
_SHOWN = 4


def golden_prompts(variant: ModelVariant, tokenizer: PreTrainedTokenizerBase, obtained: str) -> GoldenPrompts:
    """What this tokenizer gives for CASES. obtained: where the tokenizer comes from."""
    formatter = PromptFormatter(tokenizer, variant.chat_template, variant.system_prompt)
    return GoldenPrompts(
        variant=variant.name,
        chat_template=variant.chat_template,
        system_prompt_sha256=_sha256(variant.system_prompt),
        template_sha256=template_sha256(tokenizer, variant.chat_template),
        obtained=obtained,
        prompts=tuple(
            GoldenPrompt(
                request=request,
                suffix=suffix,
                system_prompt=style.system_prompt,
                chat_template=style.chat_template,
                token_ids=tuple(formatter.ids(formatter.text(request, style, suffix))),
            )
            for request, suffix, style in CASES
        ),
    )


def as_yaml(golden: GoldenPrompts) -> str:
    """The text of a file of golden prompts, one prompt to a line."""
    fields = golden.model_dump(mode="json", exclude_none=True)
    prompts = fields.pop("prompts")
    lines = [
        yaml.safe_dump(prompt, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
        for prompt in prompts
    ]
    head = yaml.safe_dump(fields, sort_keys=False, width=120, allow_unicode=True)
    return head + "prompts:\n" + "".join(f"- {line}" for line in lines)


def require_golden_prompts(variant: ModelVariant, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise UserError unless the tokenizer gives the ids in the variant's file; without a file nothing is checked."""
    path = locations.golden_prompts_path(variant.name)
    golden = read_golden_prompts(variant)
    if golden is None:
        return
    if golden.system_prompt_sha256 != _sha256(variant.system_prompt):
        raise UserError(
            f"{path}: the ids are those of another system prompt than {variant.system_prompt!r}; put back "
            f"that of {variant.name}, or give a variant of your own a name of its own"
        )
    differing = list(golden_prompt_differences(golden, variant, tokenizer))
    if differing:
        raise UserError(
            "\n".join(
                [
                    *(f"{path}: {words}" for words in differing),
                    f"The tokenizer or the template of {variant.name} is of another revision than the one that these "
                    "ids are from; put the revision in the variant's file in its place, or give a model of your own a "
                    "name of its own.",
                ]
            )
        )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def read_golden_prompts(variant: ModelVariant) -> GoldenPrompts | None:
    """The golden prompts of a variant, or None if it has none."""
    path = locations.golden_prompts_path(variant.name)
    return load_yaml_model(path, GoldenPrompts) if path.is_file() else None


def golden_prompt_differences(
    golden: GoldenPrompts, variant: ModelVariant, tokenizer: PreTrainedTokenizerBase
) -> Iterator[str]:
    """What differs, in words: the template, and every prompt."""
    if golden.chat_template != variant.chat_template:
        yield f"the ids are those of the template {golden.chat_template!r}, the variant has {variant.chat_template!r}"
    elif (found := template_sha256(tokenizer, variant.chat_template)) != golden.template_sha256:
        yield f"the template {variant.chat_template!r} has SHA-256 {found}, expected {golden.template_sha256}"
    formatter = PromptFormatter(tokenizer, variant.chat_template, variant.system_prompt)
    for number, prompt in enumerate(golden.prompts):
        style = PromptStyle(prompt.system_prompt, prompt.chat_template)
        ids = formatter.ids(formatter.text(prompt.request, style, prompt.suffix))
        if ids != list(prompt.token_ids):
            yield f"prompts[{number}] ({prompt.request!r}): {_first_difference(ids, list(prompt.token_ids))}"


def _first_difference(found: list[int], expected: list[int]) -> str:
    """Both lists around the first place where they differ."""
    shorter = min(len(found), len(expected))
    place = next((index for index in range(shorter) if found[index] != expected[index]), shorter)
    window = slice(max(0, place - _SHOWN), place + _SHOWN + 1)
    return (
        f"the ids differ from token {place} on: got … {found[window]} … of {len(found)}, "
        f"expected … {expected[window]} … of {len(expected)}"
    )
