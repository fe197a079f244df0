import pytest

from harness.errors import UserError
from harness.organisms.catalogue import organism_directory


def test_a_near_miss_of_an_organisms_name_is_answered_with_the_name():
    with pytest.raises(
        UserError, match=r"no organism is called 'tiny-llama2-chatt'; did you mean 'tiny-llama2-chat'\?"
    ):
        organism_directory("tiny-llama2-chatt")
    with pytest.raises(UserError, match=r"there are .*tiny-llama2-chat"):
        organism_directory("x")
