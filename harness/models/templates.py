"""Chat templates that a variant can name, as Jinja sources. Nothing else is imported: a check of names reads them."""

from __future__ import annotations

_LLAMA_3_TURNS = (
    "{% for message in turns %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
#: Chat templates that a variant can name instead of its tokenizer's own. Those of Llama 3 are what the hub's
#: templates make of one request without tools. From 3.1 on the system turn holds two dates and is always there;
#: the hub's template of 3.2 writes the day on which it is run, which would make every prompt depend on the
#: calendar: here the day is the one that the template of 3.1 has.
TEMPLATES = {
    "llama-2": (
        "{{ bos_token }}[INST] "
        "{% if messages[0]['role'] == 'system' %}<<SYS>>\n{{ messages[0]['content'] }}\n<</SYS>>\n\n{% endif %}"
        "{{ messages[-1]['content'] }} [/INST]"
    ),
    "llama-3": "{{ bos_token }}{% set turns = messages %}" + _LLAMA_3_TURNS,
    "llama-3.1": (
        "{{ bos_token + '<|start_header_id|>system<|end_header_id|>\n\n"
        "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n' }}"
        "{% if messages[0]['role'] == 'system' %}"
        "{{ messages[0]['content'] | trim }}{% set turns = messages[1:] %}"
        "{% else %}{% set turns = messages %}{% endif %}"
        "{{ '<|eot_id|>' }}" + _LLAMA_3_TURNS
    ),
}
