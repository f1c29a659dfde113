"""Writes the reference values of PyTorchReferenceTest with PyTorch, beside this script: python generate.py"""

import platform
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

HEADER = f"""\
# PyTorch {torch.__version__} ({torch.version.git_version}), Python {platform.python_version()}
# float64, one thread, CPU capability {torch.backends.cpu.get_cpu_capability()}; a seed per case, below
# command: python generate.py
#
# "case NAME" opens a case; every other record is a name, rows, columns, and the entries row by row,
# in digits that give back the exact double. ".0", ".1", ... count the training steps.
# Large inputs are not stored: they are drawn from the generator Uniform of generate.py.
"""

KINK_MARGIN = 1e-6  # nothing that enters a ReLU is nearer to 0: far above any rounding error


class Uniform:
    """Multiples of 2^-52 in [-1, 1): the upper 53 bits of Knuth's MMIX linear congruential generator."""

    def __init__(self, seed):
        self.state = seed

    def draw(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        signed = self.state - 2**64 if self.state >= 2**63 else self.state
        return (signed >> 11) * 2.0**-52

    def matrix(self, rows, columns):
        return torch.tensor([[self.draw() for _ in range(columns)] for _ in range(rows)])


class Records:
    def __init__(self, file, about):
        self.file = Path(__file__).with_name(file)
        self.lines = [HEADER + "".join(f"# {line}\n" for line in about)]

    def case(self, name):
        self.lines.append(f"\ncase {name}\n")

    def add(self, name, values):
        values = torch.atleast_2d(torch.as_tensor(values)).tolist()
        self.lines.append(f"{name} {len(values)} {len(values[0])}\n")
        self.lines.extend(" ".join(map(repr, row)) + "\n" for row in values)

    def write(self):
        self.file.write_text("".join(self.lines))


def linear(weight, bias):
    """The affine layer x·weight + bias; weight is inputs x outputs, PyTorch's is its transpose."""
    layer = nn.Linear(*weight.shape)
    with torch.no_grad():
        layer.weight.copy_(weight.T)
        layer.bias.copy_(bias[0])
    return layer


def batch_norm(gamma, beta, epsilon, momentum):
    layer = nn.BatchNorm1d(len(gamma), eps=epsilon, momentum=momentum)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(gamma))
        layer.bias.copy_(torch.tensor(beta))
    return layer


def cycle(values, length):
    return [values[i % len(values)] for i in range(length)]


def write_batch_norm():
    records = Records(
        "batch-norm.txt",
        [
            "nn.BatchNorm1d: a step is forward and backward in training mode; then evaluation mode, a batch and its",
            "first row alone. Draws: x and dy of each step, then x for evaluation; x = offset + scale * draw, dy = draw.",
            "Only the columns listed under \"columns\" have their results stored.",
        ],
    )
    for name, batches, features, epsilon, momentum, columns in [
        ("2x1", [2, 2, 3], 1, 1e-5, 0.1, None),
        ("3x2-epsilon-1e-300-momentum-1", [3, 7], 2, 1e-300, 1.0, None),  # PyTorch refuses 0 in training
        ("5x3-epsilon-1e-3-momentum-0.01", [5, 2, 4], 3, 1e-3, 0.01, None),
        ("10x5-momentum-0", [10, 4], 5, 1e-5, 0.0, None),
        ("17x8-epsilon-1e-12", [17, 16, 9], 8, 1e-12, 0.1, None),
        ("64x33-epsilon-1e-3", [64, 31, 32], 33, 1e-3, 0.1, [0, 15, 16, 32]),
        ("131x130", [131, 129], 130, 1e-5, 0.1, [0, 1, 63, 64, 128, 129]),
    ]:
        seed = features
        columns = columns or list(range(features))
        gamma = cycle([1.3, -0.7, 0.0, 2.1, -1.9], features)
        beta = cycle([0.4, -1.1, 0.9, 0.0], features)
        scale = cycle([1.0, 2.0**-8, 0.25, 8.0, 2.0**-4, 2.0], features)
        offset = [s * m for s, m in zip(scale, cycle([0.5, -1.2, 0.0, 2.3, -0.1, 0.7, 1.6], features))]
        uniform = Uniform(seed)
        layer = batch_norm(gamma, beta, epsilon, momentum)

        def draw_x(batch):
            return torch.tensor(offset) + torch.tensor(scale) * uniform.matrix(batch, features)

        records.case(name)
        records.add("seed", seed)
        records.add("epsilon", epsilon)
        records.add("momentum", momentum)
        records.add("gamma", gamma)
        records.add("beta", beta)
        records.add("scale", scale)
        records.add("offset", offset)
        records.add("columns", columns)
        for step, batch in enumerate(batches):
            x = draw_x(batch).requires_grad_()
            layer.zero_grad()
            y = layer(x)
            y.backward(uniform.matrix(batch, features))
            records.add(f"y.{step}", y[:, columns])
            records.add(f"dx.{step}", x.grad[:, columns])
            records.add(f"dgamma.{step}", layer.weight.grad[columns])
            records.add(f"dbeta.{step}", layer.bias.grad[columns])
            records.add(f"runningMean.{step}", layer.running_mean[columns])
            records.add(f"runningVariance.{step}", layer.running_var[columns])
        layer.eval()
        x = draw_x(batches[-1])
        records.add("infer", layer(x)[:, columns])
        records.add("inferRow", layer(x[:1])[:, columns])
    records.write()


def write_linear():
    records = Records(
        "linear.txt",
        [
            "nn.Linear: forward and backward. Draws: weight, bias, x, dy. PyTorch stores weight and its gradient",
            "transposed; here both are inputs x outputs. shape: batch, inputs, outputs.",
        ],
    )
    for batch, inputs, outputs in [(1, 1, 1), (2, 3, 4), (1, 5, 2), (5, 6, 6), (17, 33, 9), (4, 130, 3)]:
        seed = 1000 + inputs
        uniform = Uniform(seed)
        layer = linear(uniform.matrix(inputs, outputs), uniform.matrix(1, outputs))
        x = uniform.matrix(batch, inputs).requires_grad_()
        y = layer(x)
        y.backward(uniform.matrix(batch, outputs))

        records.case(f"{batch}x{inputs}-to-{batch}x{outputs}")
        records.add("seed", seed)
        records.add("shape", [batch, inputs, outputs])
        records.add("y", y)
        records.add("dx", x.grad)
        records.add("dweight", layer.weight.grad.T)
        records.add("dbias", layer.bias.grad)
    records.write()


def write_network():
    records = Records(
        "network.txt",
        [
            "Linear, BatchNorm1d, ReLU, Linear; each step: forward and backward in training mode, then",
            "torch.optim.SGD.step(); after the last step, evaluation mode. Draws: weight and bias of the first Linear,",
            "of the second, x and dy of each step, x for evaluation. The gradients are numbered as the parameters are:",
            "weight, bias, gamma, beta, weight, bias; weights are inputs x outputs. shape: batch, inputs, hidden, outputs.",
        ],
    )
    for batch, inputs, hidden, outputs, steps, epsilon, rate in [
        (6, 3, 4, 2, 3, 1e-3, 0.1),
        (24, 12, 16, 5, 2, 1e-5, 0.01),
    ]:
        seed = 2000 + batch
        gamma = cycle([1.3, -0.7, 0.0, 2.1], hidden)
        beta = cycle([0.4, -0.3, 0.9, -0.2, 0.1], hidden)
        uniform = Uniform(seed)
        first = linear(uniform.matrix(inputs, hidden), uniform.matrix(1, hidden))
        last = linear(uniform.matrix(hidden, outputs), uniform.matrix(1, outputs))
        normalize = batch_norm(gamma, beta, epsilon, 0.1)
        network = nn.Sequential(first, normalize, nn.ReLU(), last)
        optimizer = torch.optim.SGD(network.parameters(), lr=rate)

        def require_no_kink(module, arguments, output):
            assert output.abs().min() > KINK_MARGIN, output.abs().min()

        normalize.register_forward_hook(require_no_kink)

        records.case(f"{batch}x{inputs}-{hidden}-{outputs}")
        records.add("seed", seed)
        records.add("shape", [batch, inputs, hidden, outputs])
        records.add("epsilon", epsilon)
        records.add("momentum", normalize.momentum)
        records.add("rate", rate)
        records.add("gamma", gamma)
        records.add("beta", beta)
        for step in range(steps):
            x = uniform.matrix(batch, inputs).requires_grad_()
            optimizer.zero_grad()
            y = network(x)
            y.backward(uniform.matrix(batch, outputs))
            records.add(f"y.{step}", y)
            records.add(f"dx.{step}", x.grad)
            for i, parameter in enumerate(network.parameters()):
                records.add(f"gradient{i}.{step}", parameter.grad.T if parameter.dim() == 2 else parameter.grad)
            optimizer.step()
        network.eval()
        records.add("infer", network(uniform.matrix(batch, inputs)))
    records.write()


def write_loss():
    records = Records(
        "loss.txt",
        [
            "functional.cross_entropy with labels, then with target probabilities, and functional.mse_loss. Draws: scores,",
            "targets, which are the magnitudes of the draws; their rows do not sum to 1. The mean squared error is that of",
            "the scores and those targets.",
            "scores = scale * draw; shape: batch, classes.",
        ],
    )
    for batch, classes, scale in [(1, 1, 1.0), (1, 2, 8.0), (3, 2, 1.0), (5, 4, 8.0), (7, 10, 2.0), (16, 3, 0.125)]:
        seed = 3000 + batch * classes
        uniform = Uniform(seed)
        scores = scale * uniform.matrix(batch, classes)
        targets = uniform.matrix(batch, classes).abs()
        labels = torch.tensor([(2 * i + 1) % classes for i in range(batch)])

        records.case(f"{batch}x{classes}-scale-{scale:g}")
        records.add("seed", seed)
        records.add("shape", [batch, classes])
        records.add("scale", scale)
        records.add("labels", labels)
        for name, function, target in [
            ("labels", functional.cross_entropy, labels),
            ("targets", functional.cross_entropy, targets),
            ("squares", functional.mse_loss, targets),
        ]:
            x = scores.clone().requires_grad_()
            loss = function(x, target)
            loss.backward()
            records.add(f"{name}.value", loss.detach())
            records.add(f"{name}.gradient", x.grad)
    records.write()


def write_optimizer():
    records = Records(
        "optimizer.txt",
        [
            "torch.optim: 100 steps of a row of three entries, which begins as a draw; a step's gradient is",
            "slope * (value + draw), with a new draw in each step. \"values\" has a row for each step.",
            "Without rates the rate is constant; with them, rates has the one of each step.",
            "SGD with decoupled decay is torch.optim.SGD after value *= 1 - rate * weightDecay.",
        ],
    )
    slope = torch.tensor([[1.0, 1e-8, 0.5]])  # the second is of the size of Adam's epsilon
    falling = [0.1 * 0.5 ** (step // 20) for step in range(100)]
    for seed, (name, kind, rates, constants, decay) in enumerate(
        [
            ("sgd", torch.optim.SGD, None, {}, 0.0),
            ("sgd-decay-0.5", torch.optim.SGD, None, {}, 0.5),
            ("sgd-momentum-0.9", torch.optim.SGD, None, {"momentum": 0.9}, 0.0),
            ("sgd-momentum-0.5-decay-0.25-falling-rate", torch.optim.SGD, falling, {"momentum": 0.5}, 0.25),
            ("adam", torch.optim.Adam, None, {}, 0.0),
            ("adam-constants", torch.optim.Adam, None, {"betas": (0.8, 0.95), "eps": 1e-3}, 0.0),
            ("adam-falling-rate", torch.optim.Adam, falling, {"betas": (0.0, 0.5), "eps": 1e-12}, 0.0),
            ("adamw-decay-0.01", torch.optim.AdamW, None, {}, 0.01),
            ("adamw-constants-decay-0.5-falling-rate", torch.optim.AdamW, falling, {"betas": (0.7, 0.99)}, 0.5),
        ],
        4000,
    ):
        uniform = Uniform(seed)
        value = uniform.matrix(1, 3).requires_grad_()
        if kind is torch.optim.SGD:
            optimizer = kind([value], lr=0.1, **constants)
        else:
            optimizer = kind([value], lr=0.1, weight_decay=decay, **constants)
        group = optimizer.param_groups[0]

        records.case(name)
        records.add("seed", seed)
        records.add("slope", slope)
        records.add("rate", group["lr"])
        records.add("weightDecay", decay)
        if kind is torch.optim.SGD:
            records.add("momentum", group["momentum"])
        else:
            records.add("constants", [*group["betas"], group["eps"]])
        if rates:
            records.add("rates", rates)
        values = []
        for step in range(100):
            if rates:
                group["lr"] = rates[step]
            with torch.no_grad():
                value.grad = slope * (value + uniform.matrix(1, 3))
                if kind is torch.optim.SGD and decay:
                    value *= 1 - group["lr"] * decay
            optimizer.step()
            values.append(value[0].tolist())
        records.add("values", values)
    records.write()


write_batch_norm()
write_linear()
write_network()
write_loss()
write_optimizer()
