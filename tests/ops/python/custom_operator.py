"""torch.ops.linden.linear_attention against the plain torch expression: values, gradients, meta and fake tensors, errors.

tests/ops/python/custom_operator.py LIBRARY     (run by tests/ops/custom_operator.cpp)
"""
import sys

import torch
from torch._subclasses import FakeTensorMode


def features(name, x, w):
    if name in ("hedgehog", "taylor2"):
        u = torch.einsum("bnhd,hde->bnhe", x, w)
    if name == "hedgehog":
        return torch.cat([u.softmax(-1), (-u).softmax(-1)], -1)
    if name == "taylor2":
        squares = (u[..., :, None] * u[..., None, :]).flatten(-2) / 2**0.5
        return torch.cat([torch.ones_like(u[..., :1]), u, squares], -1)
    return {"softmax": lambda: x.softmax(-1), "elu_plus_one": lambda: torch.nn.functional.elu(x) + 1,
            "relu": x.relu, "exp": x.exp}[name]()


def plain(q, k, v, name, w_q=None, w_k=None, num_valid=None):
    valid = torch.ones(q.shape[:2], dtype=q.dtype)
    if num_valid is not None:
        valid = (torch.arange(q.shape[1]) < num_valid[:, None]).to(q.dtype)
    phi_q, phi_k = features(name, q, w_q), features(name, k, w_k) * valid[..., None, None]
    numerator = torch.einsum("bnhr,bhrd->bnhd", phi_q, torch.einsum("bnhr,bnhd->bhrd", phi_k, v))
    denominator = torch.einsum("bnhr,bhr->bnh", phi_q, phi_k.sum(1))
    return numerator / denominator[..., None] * valid[..., None, None]


def close(got, wanted, what, tolerance=5e-6):
    error = ((got - wanted).norm() / wanted.norm()).item()
    assert error <= tolerance, f"{what}: relative error {error:.2e}, allowed {tolerance:.0e}"


def check_fake(operator, name, leaves):
    """Forward and backward without values, as torch.compile traces them."""
    with FakeTensorMode():
        fake = [torch.empty(x.shape, requires_grad=True) for x in leaves]
        operator(*fake[:3], name, *fake[3:]).sum().backward()
    assert [x.grad.shape for x in fake] == [x.shape for x in leaves], name


def main():
    torch.ops.load_library(sys.argv[1])
    operator = torch.ops.linden.linear_attention
    with open("/proc/self/maps", encoding="utf-8") as maps:
        loaded = maps.read()
    for library in ("libhdf5", "libspdlog", "libpng"):
        assert library not in loaded, f"{library} came with the operator"
    generator = torch.Generator().manual_seed(3)
    B, N, H, D = 2, 150, 3, 32
    for name in ("hedgehog", "softmax", "elu_plus_one", "relu", "exp", "taylor2"):
        leaves = [torch.randn(B, N, H, D, generator=generator, requires_grad=True) for _ in range(3)]
        width = {"hedgehog": D, "taylor2": 8}.get(name)
        if width:
            leaves += [(torch.randn(H, D, width, generator=generator) / D**0.5).requires_grad_() for _ in range(2)]
        q, k, v, *w = leaves
        arguments = (q, k, v, name, *(w or (None, None)), torch.tensor([N, 101]))
        got, wanted = operator(*arguments), plain(*arguments)
        close(got, wanted, name)
        cotangent = torch.randn(got.shape, generator=generator)
        for leaf, a, b in zip("q k v w_q w_k".split(), torch.autograd.grad(got, leaves, cotangent),
                              torch.autograd.grad(wanted, leaves, cotangent)):
            close(a, b, f"{name}, gradient of {leaf}", 2e-5)
        meta = operator(q.to("meta"), k.to("meta"), v.to("meta"), name, *[x.to("meta") for x in w])
        assert meta.shape == q.shape and meta.is_meta
        check_fake(operator, name, leaves)
    x = torch.randn(1, 5, 2, 40)
    try:
        operator(x, x, x, "relu")
        raise AssertionError("head dim 40 was accepted")
    except RuntimeError as error:
        assert "q has head dim 40, allowed: 32, 64, 96, 128" in str(error), error
    print("custom operator: values and gradients agree")


if __name__ == "__main__":
    main()
