"""Sessions: reproduce (the main job), tests, faults, organism, bench."""

from pathlib import Path

import nox

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
CPU_SET = "docker/requirements-cpu.txt"


def install(session: nox.Session, *extra: str) -> None:
    """The pinned CPU set, torch first (a plain torch would bring CUDA), then this package.

    Data sets that lm-eval reads are cached inside the checkout.
    """
    torch = next(line.strip() for line in (ROOT / CPU_SET).read_text().splitlines() if line.startswith("torch=="))
    session.install(torch)
    session.install("-r", CPU_SET, *extra)
    session.install("--no-deps", "-e", ".")
    session.env["HF_HOME"] = str(ROOT / ".cache" / "huggingface")
    session.env["HF_HUB_OFFLINE"] = "1"


@nox.session
def reproduce(session: nox.Session) -> None:
    """Run every benchmark on the shipped organism; arguments go to `harness reproduce`."""
    install(session)
    session.run("harness", "reproduce", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Lint, check the types and run the tests; arguments go to pytest."""
    install(session, "-r", "docker/requirements-tests.txt")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("pytest", *session.posargs)


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
