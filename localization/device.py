"""Where tensors are computed.

- `best_device`: the accelerator of this machine, if it has one
"""

import torch


def best_device() -> torch.device:
    """The accelerator, where there is one that works, and otherwise the CPU.

    Returns
    -------
    torch.device

    Examples
    --------
    >>> best_device().type in ("cpu", "cuda", "mps", "xpu")
    True
    """
    # A build of torch for an accelerator names it on machines that have none, too.
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator or torch.device("cpu")
