"""The text of a variant's chat template, and messages in the one that a tokenizer brings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from harness.errors import UserError
from harness.models.templates import TEMPLATES
from harness.sandbox.rendering import render
from harness.spec.variant import OWN_TEMPLATE


def own_template(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool
) -> str:
    """Messages in the tokenizer's own template, as its apply_chat_template gives them, but within harness/sandbox.

    Raises UserError where there is none, and where it cannot be rendered.
    """
    variables = {
        **tokenizer.special_tokens_map,
        "messages": list(messages),
        "tools": None,
        "documents": None,
        "add_generation_prompt": add_generation_prompt,
    }
    return render("chat", template_text(tokenizer, OWN_TEMPLATE), variables)


def template_text(tokenizer: PreTrainedTokenizerBase, template: str) -> str:
    """The Jinja source of a template: `tokenizer`, or a name in TEMPLATES. Raises UserError if there is none."""
    if template == OWN_TEMPLATE:
        if not isinstance(tokenizer.chat_template, str):
            raise UserError(
                "chat_template is 'tokenizer', and the tokenizer has no chat template of its own; "
                f"expected one in its folder, or one of {', '.join(TEMPLATES)} in the variant's file"
            )
        return tokenizer.chat_template
    if template not in TEMPLATES:
        raise UserError(f"no chat template is called {template!r}; there are tokenizer, {', '.join(TEMPLATES)}")
    return TEMPLATES[template]


def template_sha256(tokenizer: PreTrainedTokenizerBase, template: str) -> str:
    """SHA-256 of a template's source."""
    return hashlib.sha256(template_text(tokenizer, template).encode()).hexdigest()
