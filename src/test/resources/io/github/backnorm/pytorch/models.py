"""Writes models of many kinds, and what each infers from its x, for PyTorchTest: python models.py

Run by Python 3.11.7, PyTorch 2.13.0+cpu, safetensors 0.8.0, in float64. The seed of each model is made of its name.
"""

import zlib

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import BatchNorm1d, Dropout, Flatten, Identity, Linear, ReLU, Sequential


def mlp():
    return Sequential(Linear(4, 8), BatchNorm1d(8), ReLU(), Linear(8, 3))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp()

    def forward(self, x):
        return self.net(x)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = Linear(4, 8)
        self.bn1 = BatchNorm1d(8)
        self.fc2 = Linear(8, 3, bias=False)

    def forward(self, x):
        return self.fc2(torch.relu(self.bn1(self.fc1(x))))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Sequential(Linear(4, 4), BatchNorm1d(4), ReLU())

    def forward(self, x):
        return x + self.net(x)


def two_heads():
    model = nn.Module()
    model.actor, model.critic = mlp(), mlp()
    model.forward = lambda x: model.critic(x)
    return model


def named():
    model = Sequential()
    for name, module in [("input", Linear(4, 8)), ("norm", BatchNorm1d(8)), ("act", ReLU()), ("head", Linear(8, 3))]:
        model.add_module(name, module)
    return model


MODELS = {
    "data-parallel": lambda: nn.DataParallel(mlp()),
    "compiled": lambda: torch.compile(nn.DataParallel(mlp())),
    "averaged": lambda: torch.optim.swa_utils.AveragedModel(mlp()),
    "attribute": Net,
    "named": named,
    "nested": lambda: Sequential(Sequential(Linear(4, 8), BatchNorm1d(8), ReLU()), Sequential(Linear(8, 3))),
    "gaps": lambda: Sequential(Flatten(), Linear(4, 8), Dropout(0.25), Identity(), BatchNorm1d(8), ReLU(), Linear(8, 3)),
    "sync": lambda: nn.SyncBatchNorm.convert_sync_batchnorm(mlp()),
    "not-affine": lambda: Sequential(Linear(4, 8), BatchNorm1d(8, affine=False), ReLU(), Linear(8, 3)),
    "batch-norm-without-bias": lambda: Sequential(Linear(4, 8), BatchNorm1d(8, bias=False), ReLU(), Linear(8, 3)),
    "without-bias": lambda: Sequential(Linear(4, 8, bias=False), BatchNorm1d(8), ReLU(), Linear(8, 3, bias=False)),
    "constants": lambda: Sequential(Linear(4, 8), BatchNorm1d(8, 1e-3, 0.01), ReLU(), Linear(8, 3)),
    "momentum-none": lambda: Sequential(Linear(4, 8), BatchNorm1d(8, momentum=None), ReLU(), Linear(8, 3)),
    "linear": lambda: Linear(4, 3),
    "scaler": lambda: Sequential(BatchNorm1d(4), Linear(4, 8), ReLU(inplace=True), Linear(8, 3)),
    "types": mlp,
    "rows": mlp,
    "extras": mlp,
    "shards": mlp,
    "two-heads": two_heads,
    "own": Own,
    "residual": lambda: Sequential(Residual(), Linear(4, 3)),
    "weight-norm": lambda: Sequential(nn.utils.weight_norm(Linear(4, 8)), BatchNorm1d(8), ReLU(), Linear(8, 3)),
    "gelu": lambda: Sequential(Linear(4, 8), BatchNorm1d(8), nn.GELU(), Linear(8, 3)),
    "softmax": lambda: Sequential(Linear(4, 8), BatchNorm1d(8), ReLU(), Linear(8, 3), nn.Softmax(dim=1)),
    "layer-norm": lambda: Sequential(Linear(4, 8), nn.LayerNorm(8), ReLU(), Linear(8, 3)),
    "convolution": lambda: Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 2, 2), Flatten(), ReLU(), Linear(6, 3)),
    "not-tracked": lambda: Sequential(Linear(4, 8), BatchNorm1d(8, track_running_stats=False), ReLU(), Linear(8, 3)),
}
TYPES = {"0": torch.float16, "1": torch.float32, "3": torch.bfloat16}
EXTRAS = {
    "steps": torch.tensor(7, dtype=torch.int32),
    "mask": torch.tensor([True, False]),
    "bytes": torch.arange(3, dtype=torch.uint8),
    "positions": torch.ones(2, 3, 4),
    "kernels": torch.ones(2, 1, 2, 2),
    "empty": torch.zeros(0),
    "complex": torch.zeros(2, dtype=torch.complex64),
}


def random(tensor, name, generator):
    values = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    if not tensor.is_floating_point():
        return torch.full_like(tensor, 7)
    return values.abs() + 0.5 if name.endswith("running_var") else values


expected = {}
for name, make in MODELS.items():
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) + 1)
    model = make().double()
    state = {key: random(tensor, key, generator) for key, tensor in model.state_dict().items()}
    if name == "types":
        state = {k: v.to(TYPES[k[0]]) if v.is_floating_point() else v for k, v in state.items()}
    model.load_state_dict(state)
    x = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    expected[name + ".x"], expected[name + ".y"] = x, model.eval()(x).detach()
    if name == "rows":
        state = {k: v.reshape(1, -1) if v.dim() == 1 else v for k, v in state.items()}
    if name == "extras":
        state |= EXTRAS
    text = {"modules": str(model)}
    if name == "shards":
        save_file({k: v for k, v in state.items() if k < "1.running"}, "model-shard-1.safetensors", text)
        save_file({k: v for k, v in state.items() if k >= "1.running"}, "model-shard-2.safetensors", text)
    else:
        save_file(state, f"model-{name}.safetensors", text)
save_file(expected, "models-expected.safetensors")
