"""`python -m tests.zero_space`: the app as on a ZeroGPU Space, as far as a CPU build of torch goes.

The real `spaces` package runs; only what it asks a CUDA build of torch for at import is put there.
Its device service is whatever SPACES_ZERO_DEVICE_API_URL names.
"""

from __future__ import annotations

import runpy

import torch

if __name__ == "__main__":
    torch.version.cuda = torch.version.cuda or "12.8"
    if not hasattr(torch._C, "_cuda_init"):
        torch._C._cuda_init = int
    torch.cuda._is_in_bad_fork = bool  # a function that says no and can be pickled
    runpy.run_path("app.py", run_name="__main__")
