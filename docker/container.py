"""Build an image and run a session of nox in it: container.py cpu|cuda SESSION [ARGUMENT ...].

With docker, podman or buildah, the first that works. What is special about a machine comes from the environment, the
first three split as a shell would:

    CONTAINER_ENGINE         the engine with its own options: `buildah --storage-driver vfs`
    CONTAINER_BUILD_OPTIONS  more options of its build: `--build-arg BASE_IMAGE=...`, `--volume ...`
    CONTAINER_RUN_OPTIONS    more options of its run: `--network host`
    CONTAINER_CACHE          the folder of caches; default: .cache/container in the checkout

Records, scores and reports go to runs/container. There is no network inside. Python's own library only: this runs
before anything is installed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENGINES = ("docker", "podman", "buildah")
#: Options of a run by image; vLLM's processes share memory.
DEVICES = {"cpu": [], "cuda": ["--gpus", "all", "--ipc", "host"]}
#: The user inside of whoever is root outside; anybody else is who they are.
UNPRIVILEGED = 1000


def engine(environment: Mapping[str, str]) -> list[str]:
    """The engine's command: the one that is asked for, or the first that answers. Exits with 2 where none does."""
    asked = shlex.split(environment.get("CONTAINER_ENGINE", ""))
    if asked:
        return asked
    for name in ENGINES:
        program = shutil.which(name, path=environment.get("PATH"))
        if program and not subprocess.run([program, "info"], capture_output=True, check=False).returncode:
            return [program]
    print(
        f"no container engine answers to `info`; expected one of {', '.join(ENGINES)}: install one, start its "
        "service, or name it in CONTAINER_ENGINE",
        file=sys.stderr,
    )
    sys.exit(2)


def build_command(engine: Sequence[str], kind: str, options: Sequence[str]) -> list[str]:
    """Build the image from the checkout."""
    return [*engine, "build", "--file", f"docker/{kind}.Dockerfile", "--tag", f"harness-{kind}", *options, "."]


def digest_command(engine: Sequence[str], kind: str) -> list[str]:
    """Print the digest of the image that was built."""
    if is_buildah(engine):
        return [*engine, "inspect", "--type", "image", "--format", "{{.FromImageID}}", f"harness-{kind}"]
    return [*engine, "image", "inspect", "--format", "{{.Id}}", f"harness-{kind}"]


def run_options(kind: str, digest: str, runs: Path, cache: Path) -> list[str]:
    """Who runs what inside, and what of this machine is there. digest: of the image, which the record holds."""
    user = f"{os.getuid() or UNPRIVILEGED}:{os.getgid() or UNPRIVILEGED}"
    return [
        "--network",
        "none",
        "--user",
        user,
        "--env",
        f"HARNESS_IMAGE_DIGEST={digest}",
        "--volume",
        f"{runs}:/app/runs",
        "--volume",
        f"{cache}:/app/.cache",
        *DEVICES[kind],
    ]


def inside(session: str, arguments: Sequence[str]) -> list[str]:
    """The command in the container."""
    return ["nox", "--session", session, *(["--", *arguments] if arguments else [])]


def is_buildah(engine: Sequence[str]) -> bool:
    """Whether the engine knows containers only as what images are built in."""
    return Path(engine[0]).name == "buildah"


def printed(command: Sequence[str]) -> str:
    """What a command prints, without the line's end. Ends with its exit code where it fails."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout.strip()


def visible(command: Sequence[str]) -> int:
    """Run a command for everybody to see, and tell how long it took. Returns its exit code."""
    print(f"+ {shlex.join(command)}", file=sys.stderr, flush=True)
    started = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return code


def main(kind: str, session: str, *arguments: str) -> int:
    """Build and run. Returns the exit code of the first command that failed, or 0."""
    chosen = engine(os.environ)
    building, running = (shlex.split(os.environ.get(f"CONTAINER_{part}_OPTIONS", "")) for part in ("BUILD", "RUN"))
    if code := visible(build_command(chosen, kind, building)):
        return code
    digest = "sha256:" + printed(digest_command(chosen, kind)).removeprefix("sha256:")
    folders = ROOT / "runs" / "container", Path(os.environ.get("CONTAINER_CACHE") or ROOT / ".cache" / "container")
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            os.chown(folder, UNPRIVILEGED, UNPRIVILEGED)
    options = [*run_options(kind, digest, *folders), *running]
    if not is_buildah(chosen):
        return visible([*chosen, "run", "--rm", *options, f"harness-{kind}", *inside(session, arguments)])
    container = printed([*chosen, "from", f"harness-{kind}"])
    try:
        return visible([*chosen, "run", *options, container, *inside(session, arguments)])
    finally:
        printed([*chosen, "rm", container])


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in DEVICES:
        print(f"got {sys.argv[1:]}; expected cpu or cuda, a session of noxfile.py, and its arguments", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(*sys.argv[1:]))
