"""Where figures come from: code, packages, machine, model and data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.spec.common import Strict


class Arithmetic(Strict):
    """What a process computed floating-point numbers with, as far as it can change last digits.

    cpu_capability: the instructions that torch's own kernels used (DEFAULT, AVX2, AVX512). blas, lapack: the libraries
    that torch was built with. onednn: whether oneDNN was there. float32_products: torch's precision of them.
    denormals: whether numbers below the smallest normal one were `kept` or `flushed to 0`.
    limits: the environment variables that limit instructions or precision, of a fixed list, where they were set.
    """

    cpu_capability: str
    blas: str
    lapack: str
    onednn: bool
    float32_products: str
    denormals: Literal["kept", "flushed to 0"]
    limits: dict[str, str] = Field(default_factory=dict)

    @property
    def instructions(self) -> str:
        """`AVX2 (ATEN_CPU_CAPABILITY=avx2)`: what was in use, and by which variables."""
        limits = ", ".join(f"{name}={value}" for name, value in sorted(self.limits.items()))
        return f"{self.cpu_capability} ({limits})" if limits else self.cpu_capability

    @property
    def words(self) -> str:
        """All of it in a line."""
        libraries = f"BLAS {self.blas}, LAPACK {self.lapack}, oneDNN {'there' if self.onednn else 'not there'}"
        return f"{self.instructions}; {libraries}; float32 {self.float32_products}; denormals {self.denormals}"


class PluginOrigin(Strict):
    """The distribution that a plugin came with, and the SHA-256 of its source."""

    distribution: str
    version: str
    sha256: str


class Provenance(Strict):
    """Where the figures come from. Holds no path, user, host name or secret.

    arithmetic: what the machine computed with; None in records from before it was noted.

    plugins: of other distributions, those that the run used, by kind and name: `attribution/row_relative`.
    engine: what generated and scored, with its version; None in records from before there were two.
    resumed: cells that an interrupted run had finished. measured_anew: cells that did not count, since their files were
    others than those that it had written or other code or data make them now, each with the reason.
    golden_sha256: of the golden values that were installed as the run began, or of there being none, however their file
    is laid out; None in records from before it was noted.
    image_digest, base_image: of the container, where it was run in one; the first as whoever started it gave it,
    since an image cannot hold its own digest, the second as it was named when the image was built.
    """

    started: str
    finished: str
    command: str
    git_commit: str | None
    git_dirty: bool | None
    source_sha256: str
    packages: dict[str, str]
    plugins: dict[str, PluginOrigin] = Field(default_factory=dict)
    engine: str | None = None
    python: str
    platform: str
    processor: str
    threads: int
    processes: int
    accelerator: str | None
    arithmetic: Arithmetic | None = None
    image_digest: str | None
    base_image: str | None = None
    model_sha256: str
    tokenizer_sha256: str
    data_sha256: dict[str, str]
    golden_sha256: str | None = None
    task_hashes: dict[str, str] = Field(default_factory=dict)
    resumed: int = 0
    measured_anew: dict[str, str] = Field(default_factory=dict)

    @property
    def commit(self) -> str | None:
        """`220782d22a`, with `, changed` where the checkout held more than the commit; None outside a checkout."""
        return None if self.git_commit is None else self.git_commit[:10] + (", changed" if self.git_dirty else "")

    @property
    def machine(self) -> str:
        """`AMD EPYC, AVX2, 1 thread, torch 2.13.0`: what can change a figure, in a few words."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        torch = f"torch {self.packages['torch']}" if "torch" in self.packages else None
        instructions = self.arithmetic.instructions if self.arithmetic else None
        return ", ".join(part for part in (self.accelerator, self.processor, instructions, threads, torch) if part)
