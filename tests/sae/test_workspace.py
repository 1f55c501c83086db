import torch

from sae.workspace import Workspace

CPU = torch.device("cpu")


def test_buffer_asked_again_is_the_same_memory() -> None:
    space = Workspace(torch.bfloat16, CPU)
    assert space.buffer("z", 3, 4).data_ptr() == space.buffer("z", 3, 4).data_ptr()


def test_buffer_of_another_shape_is_new() -> None:
    space = Workspace(torch.bfloat16, CPU)
    space.buffer("z", 3, 4)
    assert space.buffer("z", 2, 4).shape == (2, 4)


def test_cast_of_the_working_precision_is_the_source_itself() -> None:
    source = torch.ones(3)
    assert Workspace(torch.float32, CPU).cast("w", source) is source


def test_cast_to_another_precision_is_a_copy() -> None:
    source = torch.full((3,), 1 / 3)
    cast = Workspace(torch.bfloat16, CPU).cast("w", source)
    assert torch.equal(cast, source.bfloat16())


def test_product_into_writes_float32_from_either_precision() -> None:
    left, right = torch.arange(6.0).reshape(2, 3), torch.arange(12.0).reshape(3, 4)
    for dtype in (torch.float32, torch.bfloat16):
        out = torch.empty(2, 4)
        Workspace(dtype, CPU).product_into(out, left.to(dtype), right.to(dtype))
        torch.testing.assert_close(out, left @ right, rtol=4e-3, atol=0)
