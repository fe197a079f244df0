"""Whether a system prompt is in a prompt, read a second time from the prompts on disk."""

from types import SimpleNamespace

import pytest

from harness.spec.measurement import Completion
from harness.verification.findings import Ledger
from harness.verification.prompts import _check_system_prompt


@pytest.mark.parametrize(
    ("template", "declared", "there", "differs"),
    [
        ("llama-2", True, True, False),
        ("llama-2", True, False, True),
        ("llama-2", False, True, True),
        ("llama-2", False, False, False),
        ("tokenizer", True, True, False),
        ("tokenizer", True, False, True),
        ("tokenizer", False, True, False),  # the template's own default may be the very same
        ("tokenizer", False, False, False),
    ],
)
def test_it_is_where_it_is_declared_and_nowhere_else(template, declared, there, differs):
    variant = {"system_prompt": "Be helpful.", "chat_template": template}
    run = SimpleNamespace(record=SimpleNamespace(variant=variant))
    entry = SimpleNamespace(chat_template=True, system_prompt=declared)
    text = Completion(
        evaluation="benign",
        prompt_index=0,
        sample_index=0,
        suffix_index=None,
        prompt="<system>Be helpful.<user>Hello" if there else "<user>Hello",
        text="Hi",
        token_ids=(1,),
        finish_reason="stop",
    )
    ledger = Ledger()
    _check_system_prompt(run, "intact", entry, text, ledger)
    assert bool(ledger.differs) is differs
