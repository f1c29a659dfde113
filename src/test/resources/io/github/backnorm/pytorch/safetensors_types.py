"""Writes types.safetensors, reference data of SafetensorsTest, beside this script: python safetensors_types.py"""

import platform
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import save_file

GENERATOR = (
    f"safetensors_types.py: NumPy {np.__version__}, safetensors {safetensors.__version__},"
    f" Python {platform.python_version()}"
)


def types():
    """Numbers of every type, with one to four dimensions, each with what NumPy takes them for in float64."""
    tensors = {"bool": np.array([[[True], [False]]]), "float16": np.arange(-2, 2, dtype="f2").reshape(2, 1, 2)}
    for bits in 8, 16, 32, 64:
        most = 2 ** min(53, bits - 1)
        signed = [-most, -1, 0, 1, most - 1, 7]
        unsigned = [0, 1, 2 ** min(53, bits) - 1, most - 1, most, 5]
        tensors[f"int{bits}"] = np.array(signed, dtype=f"i{bits // 8}").reshape(1, 3, 1, 2)
        tensors[f"uint{bits}"] = np.array(unsigned, dtype=f"u{bits // 8}").reshape(3, 2, 1)
    for name, values in list(tensors.items()):
        tensors[f"{name} as float64"] = values.astype("f8")
    tensors["empty"] = np.zeros((2, 0, 3), dtype="i4")
    tensors["single"] = np.array(200, dtype="u1")
    return tensors


save_file(types(), Path(__file__).parent / "types.safetensors", metadata={"generator": GENERATOR})
