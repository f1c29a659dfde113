"""Writes the reference files of SafetensorsTest and PyTorchTest beside this script: python safetensors_files.py

trained.safetensors is an input: TrainedNetwork of the tests wrote it, with that path as its argument.
"""

import platform
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import nn

FOLDER = Path(__file__).parent
GENERATOR = (
    f"safetensors_files.py: PyTorch {torch.__version__}, safetensors {safetensors.__version__},"
    f" Python {platform.python_version()}, seed 11"
)
SPECIAL = [0.0, -0.0, 1.0, -1.5, 1 / 3, 1e-7, 65504.0, 3e-39, 1e300, float("inf"), float("-inf"), float("nan")]

torch.manual_seed(11)
torch.set_num_threads(1)


def save(name, tensors, **metadata):
    save_file(tensors, FOLDER / name, metadata={"generator": GENERATOR, **metadata})


def dtypes():
    """Numbers of every type, each with what PyTorch takes them for in float64."""
    tensors = {
        "rank 0": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "row": torch.arange(3.0, dtype=torch.float64).reshape(1, 3),
        'name "\\\n\x01é€😀': torch.tensor([1.0], dtype=torch.float64),
        "i64": torch.tensor([2**53, -(2**53), 0, -1]),
    }
    for dtype in torch.float64, torch.float32, torch.float16, torch.bfloat16:
        values = torch.tensor(SPECIAL, dtype=torch.float64).to(dtype).reshape(3, 4)
        tensors[f"{dtype}"] = values
        tensors[f"{dtype} as float64"] = values.double().clone()
    save("dtypes.safetensors", tensors)


def sequential():
    """A model that has seen some batches, and its logits."""
    model = nn.Sequential(
        nn.Linear(3, 5, bias=False),
        nn.BatchNorm1d(5, eps=1e-4, momentum=0.3),
        nn.ReLU(),
        nn.Linear(5, 4),
        nn.ReLU(inplace=True),
        nn.BatchNorm1d(4),
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    for _ in range(3):
        model(2 * torch.randn(8, 3, dtype=torch.float64) + 1)
    save("sequential.safetensors", model.state_dict(), modules=str(model))
    logits("sequential", model, 3)


def trained():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, eps=1e-3), nn.ReLU(), nn.Linear(8, 3)).double()
    model.load_state_dict(load_file(FOLDER / "trained.safetensors"), strict=True)
    logits("trained", model, 4)


def logits(name, model, inputs):
    x = torch.randn(6, inputs, dtype=torch.float64)
    save(f"{name}-logits.safetensors", {"x": x, "logits": model.eval()(x).detach()})


dtypes()
sequential()
trained()
