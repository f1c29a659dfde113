"""PyTorch's batch norm for AccuracyTable, which runs this script: a column a line in, its y and dh a line out.

In: N, epsilon, gamma, beta, N times h, N times dy, as hexadecimal floats. PyTorch takes no epsilon of 0 in training; the
smallest double stands in. The program's version goes to stderr.
"""

import sys

import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
print(f"PyTorch {torch.__version__}, float64", file=sys.stderr)

for line in sys.stdin:
    n, *numbers = line.split()
    epsilon, gamma, beta, *entries = map(float.fromhex, numbers)
    h = torch.tensor(entries[: int(n)]).reshape(-1, 1).requires_grad_()
    dy = torch.tensor(entries[int(n) :]).reshape(-1, 1)
    y = torch.nn.functional.batch_norm(
        h, None, None, torch.tensor([gamma]), torch.tensor([beta]), training=True, eps=epsilon or 5e-324
    )
    y.backward(dy)
    print(*[value.hex() for value in y.flatten().tolist() + h.grad.flatten().tolist()], flush=True)
