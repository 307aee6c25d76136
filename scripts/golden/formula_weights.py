"""Weights from a formula of (tensor name, flat index, seed): the Python side of src/models/formula_weights.cpp.

Big models can so be compared with a reference library without shipping their weights. Every operation is an
integer one or exactly rounded (a division by a power of two, a square root, one product), so both sides give the
same bits on any machine:

    key(name, seed) = splitmix64(fnv1a64(name) + splitmix64(seed))
    u(index)        = (splitmix64(key + index) >> 40) * 2^-23 - 1          in [-1, 1), fp32

    two or more dimensions:   sqrt(3 / fan_in) * u      (variance 1 / fan_in; fan_in = elements / rows)
    one dimension, name ends in "weight" or "running_var":  1 + u / 8
    everything else:          u / 8
"""

import numpy as np

MASK = (1 << 64) - 1


def splitmix64(x):
    """One step of SplitMix64 (Steele et al. 2014) from state x. int or uint64 array."""
    if isinstance(x, int):
        x = (x + 0x9E3779B97F4A7C15) & MASK
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
        return x ^ (x >> 31)
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def fnv1a64(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def formula_tensor(name, shape, seed):
    """fp32 numpy array of `shape` for the tensor called `name`."""
    count = int(np.prod(shape, dtype=np.int64))
    key = (fnv1a64(name) + splitmix64(seed)) & MASK
    with np.errstate(over="ignore"):
        bits = splitmix64(np.uint64(key) + np.arange(count, dtype=np.uint64)) >> np.uint64(40)
    u = bits.astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
    if len(shape) >= 2:
        fan_in = count // shape[0]
        values = np.float32(np.sqrt(3.0 / fan_in)) * u
    elif name.endswith("weight") or name.endswith("running_var"):
        values = np.float32(1) + u * np.float32(0.125)
    else:
        values = u * np.float32(0.125)
    return values.astype(np.float32).reshape(shape)


def set_formula_weights(module, seed):
    """Fills every floating tensor of a torch module's state dict."""
    import torch

    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(formula_tensor(name, tuple(tensor.shape), seed)))
