"""What this process computes floating-point numbers with: two settings of it give other last digits on one machine."""

from __future__ import annotations

import os
import re

import torch

from harness.errors import UserError
from harness.spec.provenance import Arithmetic

#: Variables that choose instructions or precision of torch, MKL, oneDNN, OpenBLAS and CUDA. No other one is read.
LIMITS = (
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_DEBUG_CPU_TYPE",
    "ONEDNN_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "DNNL_DEFAULT_FPMATH_MODE",
    "OPENBLAS_CORETYPE",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
_VALUE = re.compile(r"[A-Za-z0-9_:,.+-]{1,40}")
_BUILT_WITH = re.compile(r"\b(BLAS|LAPACK)_INFO=(\w+)")
#: The smallest normal float32 number halved: 0 where such numbers are flushed.
_DENORMAL = 2.0**-127


def arithmetic() -> Arithmetic:
    """Read from torch and the environment. Raises UserError for a variable that holds what no setting is written in."""
    built = dict(_BUILT_WITH.findall(torch.__config__.show()))
    return Arithmetic(
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        blas=built.get("BLAS", "unknown"),
        lapack=built.get("LAPACK", "unknown"),
        onednn=torch.backends.mkldnn.is_available(),
        float32_products=torch.get_float32_matmul_precision(),
        denormals="kept" if float(torch.tensor([2 * _DENORMAL]) * 0.5) else "flushed to 0",
        limits=_limits(),
    )


def _limits() -> dict[str, str]:
    limits = {name: os.environ[name] for name in LIMITS if os.environ.get(name)}
    wrong = [
        f"{name} is {value!r}; expected one word of letters and digits, 40 at most, such as AVX2: correct or unset it"
        for name, value in limits.items()
        if not _VALUE.fullmatch(value)
    ]
    if wrong:
        raise UserError("\n".join(wrong))
    return limits
