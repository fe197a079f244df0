"""Faults of what loads a model that loading itself refuses, in the words that are there for them."""

import pytest

from harness.errors import UserError
from harness.faults.catalogue import find_fault
from harness.models.loading import load_variant
from harness.spec import locations
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant


@pytest.mark.parametrize("organism", ["tiny-llama2-chat", "tiny-llama3-instruct"])
@pytest.mark.parametrize("name", ["bfloat16_for_float32", "tensor_not_loaded"])
def test_it_is_refused_and_named(organism, name):
    fault, path = find_fault(name), locations.find_variant(organism)
    with fault.injected(), pytest.raises(UserError) as caught:
        load_variant(load_yaml_model(path, ModelVariant), path)
    assert fault.says in str(caught.value)
