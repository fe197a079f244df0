# The benchmarks on a CPU. From the root of the checkout: docker build -f docker/cpu.Dockerfile -t harness-cpu .
ARG BASE_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
FROM ${BASE_IMAGE}

# Where pip finds a CPU wheel of torch, if anywhere; without one it takes PyPI's build and the CUDA libraries with it.
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

WORKDIR /app

# From what changes least to what changes most: a change of code installs nothing anew.
COPY docker/requirements-build.txt docker/requirements-torch-cpu.txt docker/requirements-torch-pypi.txt docker/
RUN python3 -m pip install --require-hashes --no-deps -r docker/requirements-build.txt \
    && { python3 -m pip install --require-hashes --no-deps -r docker/requirements-torch-cpu.txt \
    || python3 -m pip install --require-hashes --no-deps -r docker/requirements-torch-pypi.txt; }

COPY docker/requirements-cpu.txt docker/
RUN python3 -m pip install --require-hashes --no-deps --no-build-isolation -r docker/requirements-cpu.txt \
    && python3 -m pip check

# Any user may write to the volumes, so that files in a mounted folder can belong to whoever starts the container.
RUN useradd --uid 1000 harness \
    && install --directory --mode 1777 /app /app/runs /app/.cache

COPY . ./
RUN python3 -m pip install --no-deps --no-build-isolation --editable .

# Everything is installed: nox makes no environments, and nothing is looked up on a network. Whoever runs it, by
# whatever number, has a name, and the cache volume for a home.
ARG BASE_IMAGE
ENV NOX_DEFAULT_VENV_BACKEND=none HF_HUB_OFFLINE=1 HF_HOME=/app/.cache/huggingface \
    HOME=/app/.cache USER=harness PYTHONDONTWRITEBYTECODE=1 HARNESS_BASE_IMAGE=${BASE_IMAGE}
USER 1000
CMD ["nox", "--session", "reproduce"]
