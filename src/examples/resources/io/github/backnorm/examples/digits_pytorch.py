"""Trains on the digits and writes digits-pytorch.safetensors and its logits beside this script: python digits_pytorch.py

Needs torch, numpy and safetensors; the metadata of the files have the versions that made them. The last 300 rows are
the test rows. Training is in single precision, as usual; the logits are those of the same weights in double precision.
"""

import platform
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors.torch import save_file
from torch import nn

FOLDER = Path(__file__).parent
TEST_ROWS = 300
SEED = 1
GENERATOR = (
    f"digits_pytorch.py: PyTorch {torch.__version__}, safetensors {safetensors.__version__},"
    f" Python {platform.python_version()}, seed {SEED}"
)

torch.manual_seed(SEED)
torch.set_num_threads(1)
table = np.loadtxt(FOLDER / "digits.csv.gz", delimiter=",")
pixels, labels = torch.tensor(table[:, :-1] / 16), torch.tensor(table[:, -1], dtype=torch.long)

model = nn.Sequential(
    nn.Linear(64, 48),
    nn.BatchNorm1d(48),
    nn.ReLU(),
    nn.Linear(48, 48),
    nn.BatchNorm1d(48),
    nn.ReLU(),
    nn.Linear(48, 10),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
rows = len(labels) - TEST_ROWS
for epoch in range(20):
    for batch in torch.randperm(rows).split(32):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pixels[batch].float()), labels[batch]).backward()
        optimizer.step()

state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
with torch.no_grad():
    logits = model.double().eval()(pixels[rows:])
right = int((logits.argmax(1) == labels[rows:]).sum())
metadata = {"generator": GENERATOR, "modules": str(model), "right": f"{right} of {TEST_ROWS}"}
save_file(state, FOLDER / "digits-pytorch.safetensors", metadata=metadata)
save_file({"logits": logits}, FOLDER / "digits-pytorch-logits.safetensors", metadata={"generator": GENERATOR})
print(metadata["right"])
