# The benchmarks on an NVIDIA GPU. From the root of the checkout: docker build -f docker/cuda.Dockerfile -t harness-cuda .
# Another base has to hold vLLM 0.31.0 with its torch 2.13.0 on Python 3.12, as this one does.
ARG BASE_IMAGE=vllm/vllm-openai:v0.31.0@sha256:c1c9f6fd5c109ba7f0546a59f5b2f15fb87f64c77782e90a27b648b42a8e67c3
FROM ${BASE_IMAGE}

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_BREAK_SYSTEM_PACKAGES=1

WORKDIR /app

# From what changes least to what changes most: a change of code installs nothing anew.
COPY docker/requirements-build.txt docker/requirements-cuda.txt docker/
RUN python3 -m pip install --require-hashes --no-deps -r docker/requirements-build.txt \
    && python3 -m pip install --require-hashes --no-deps --no-build-isolation -r docker/requirements-cuda.txt \
    && python3 -c "from importlib.metadata import version as v; import sys; \
sys.exit(not (v('vllm').startswith('0.31.0') and v('torch').startswith('2.13.0')) and 'wrong vLLM or torch in the base')"

# Any user may write to the volumes, so that files in a mounted folder can belong to whoever starts the container.
RUN useradd --uid 2000 harness \
    && install --directory --mode 1777 /app /app/runs /app/.cache

COPY . ./
RUN python3 -m pip install --no-deps --no-build-isolation --editable .

# Everything is installed: nox makes no environments, and nothing is looked up on a network. Whoever runs it, by
# whatever number, has a name, and the cache volume for a home: what vLLM and Triton compile goes there.
ARG BASE_IMAGE
ENV NOX_DEFAULT_VENV_BACKEND=none HF_HUB_OFFLINE=1 HF_HOME=/app/.cache/huggingface \
    HOME=/app/.cache USER=harness PYTHONDONTWRITEBYTECODE=1 HARNESS_BASE_IMAGE=${BASE_IMAGE} \
    VLLM_HOST_IP=127.0.0.1 VLLM_NO_USAGE_STATS=1
USER 2000
ENTRYPOINT []
CMD ["nox", "--session", "reproduce"]
