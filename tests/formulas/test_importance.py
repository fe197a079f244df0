import torch

from harness.formulas.importance import snip_score, sum_of_absolute_gradients, wanda_score


def test_wanda_score_by_hand():
    weight = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    assert wanda_score(weight, torch.tensor([2.0, 0.5])).tolist() == [[2.0, 1.0], [0.0, 1.5]]


def test_snip_takes_the_absolute_value_before_the_mean():
    gradients = torch.tensor([[[1.0]], [[-1.0]]])  # two examples, one token, one output
    total = sum_of_absolute_gradients(gradients, torch.ones(2, 1, 1))
    assert snip_score(torch.tensor([[-3.0]]), total / 2).item() == 3.0


def test_gradients_of_tokens_of_one_example_may_cancel():
    gradients = torch.tensor([[[1.0], [-1.0]]])  # one example, two tokens
    assert sum_of_absolute_gradients(gradients, torch.ones(1, 2, 1)).item() == 0.0


def test_bfloat16_gradients_are_summed_in_float32():
    gradients = torch.full((512, 1, 1), 1.0, dtype=torch.bfloat16)
    assert sum_of_absolute_gradients(gradients, torch.ones(512, 1, 1, dtype=torch.bfloat16)).item() == 512.0


def test_gradients_of_several_examples_in_one_product_add_up_to_the_same():
    generator = torch.Generator().manual_seed(0)
    gradients, inputs = (torch.randn(7, 5, width, generator=generator) for width in (4, 3))
    wanted = torch.stack([(g.double().T @ x.double()).abs() for g, x in zip(gradients, inputs, strict=True)]).sum(dim=0)
    for at_once in (1, 3, 7, 9):
        found = sum_of_absolute_gradients(gradients, inputs, at_once)
        assert torch.allclose(found.double(), wanted, atol=1e-5)


def test_torch_takes_16_bit_products_that_are_summed_in_float32():
    """What a GPU is asked for: the operator exists and gives float32. Its numbers need a GPU."""
    gradients, inputs = (torch.empty(2, 5, width, dtype=torch.bfloat16, device="meta") for width in (4, 3))
    product = torch.bmm(gradients.mT, inputs, out_dtype=torch.float32)
    assert product.dtype == torch.float32 and product.shape == (2, 4, 3)
