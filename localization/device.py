"""Where tensors are computed.

- `best_device`: the accelerator of this machine, if it has one
- `knows_bfloat16`: whether its processor does
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


def knows_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; without them it is ten times as slow as float32.

    Returns
    -------
    bool
        False as well where torch cannot tell, as of other processors than Intel's and AMD's.

    Examples
    --------
    >>> precision = "bf16-mixed" if knows_bfloat16() else "32-true"
    """
    return torch.cpu._is_avx512_bf16_supported()
