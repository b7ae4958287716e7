"""The local backend on a tiny random Qwen: right tokens, honest cache, clean interruptions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from agent.errors import ModelError
from agent.model.base import GenerateRequest, PrefillProgress, ScoreRequest, TokenDelta, TurnEnd
from agent.model.constraint import Look
from agent.model.loading import load_network
from agent.model.local import LocalModel
from memory.types import Message
from skills.tool import ToolSpec

Say = Callable[..., Message]

TOOL = ToolSpec(name="list_files", description="Lists.", parameters={"type": "object"}, risk="read")


def collect(model: Any, request: GenerateRequest) -> tuple[list[TokenDelta], TurnEnd]:
    deltas = list(model.stream(request))
    return [delta for delta in deltas if isinstance(delta, TokenDelta)], deltas[-1]


def chosen(tokens: Sequence[TokenDelta]) -> list[int]:
    return [delta.signal.token_id for delta in tokens]


def naive_logits(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model.network(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()


@pytest.fixture
def ask(say: Say) -> Callable[..., GenerateRequest]:
    def make(text: str = "read the file", **fields: Any) -> GenerateRequest:
        fields = {"max_tokens": 24, **fields}
        return GenerateRequest(messages=(say("system", "You are a fox."), say("user", text)), **fields)

    return make


def test_greedy_tokens_are_those_of_transformers_generate(tiny: Any, tiny_qwen_dir: Path, ask: Any) -> None:
    import transformers

    stock = transformers.AutoModelForCausalLM.from_pretrained(tiny_qwen_dir, dtype=torch.float32)
    for text in ("read the file", "the quick brown fox", "日本語", "x" * 700):
        request = ask(text, max_tokens=40)
        prompt = tiny.chat.prompt(request.messages)
        expected = stock.generate(
            torch.tensor([prompt]), max_new_tokens=40, do_sample=False, eos_token_id=list(tiny.end_tokens)
        )[0, len(prompt) :].tolist()
        tokens, end = collect(tiny, request)
        assert chosen(tokens) == expected
        assert end.text == "".join(delta.text for delta in tokens)
        assert end.usage.generated == len(expected)


@pytest.mark.real_model
def test_the_real_model_decodes_as_transformers_does_and_reuses_its_prefix(real_dir: Path, say: Say) -> None:
    import transformers

    model = LocalModel.load(real_dir, real_dir.name, context_tokens=2048)
    start = (say("system", "Answer in one short sentence."), say("user", "What is the capital of France?"))
    prompt = model.chat.prompt(start)
    tokens, end = collect(model, GenerateRequest(messages=start, max_tokens=24))
    assert "Paris" in end.text
    assert end.finish_reason == "stop"
    stock = transformers.AutoModelForCausalLM.from_pretrained(real_dir, dtype=model.network.dtype)
    expected = stock.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=24, do_sample=False
    )
    assert chosen(tokens) == expected[0, len(prompt) :].tolist()
    following = (*start, say("assistant", end.text), say("user", "Say it again."))
    _, second = collect(model, GenerateRequest(messages=following, max_tokens=24))
    assert second.usage.prefilled == second.usage.prompt - len(prompt) - len(tokens) + 1
    good, bad = model.score(
        [
            ScoreRequest(messages=start, completion=city)
            for city in ("The capital of France is Paris.", "Oslo.")
        ]
    )
    assert good.mean > bad.mean


def test_signals_are_those_of_a_naive_pass(tiny: Any, ask: Any) -> None:
    request = ask()
    tokens, _ = collect(tiny, request)
    prompt = tiny.chat.prompt(request.messages)
    logprobs = torch.log_softmax(naive_logits(tiny, prompt + chosen(tokens)), dim=-1)
    for index, delta in enumerate(tokens):
        row = logprobs[len(prompt) - 1 + index]
        best = row.exp().topk(2).values
        assert delta.signal.logprob == pytest.approx(float(row[delta.signal.token_id]), abs=1e-4)
        assert delta.signal.entropy == pytest.approx(float(-(row.exp() * row).sum()), abs=1e-4)
        assert delta.signal.margin == pytest.approx(float(best[0] - best[1]), abs=1e-4)
        assert not delta.signal.forced


def test_each_step_computes_only_what_is_new(tiny: Any, say: Say) -> None:
    messages = [say("system", "You are a fox."), say("user", "read the file")]
    before: list[int] = []
    for step in range(8):
        prompt = tiny.chat.prompt(messages)
        tokens, end = collect(tiny, GenerateRequest(messages=tuple(messages), max_tokens=12))
        assert prompt[: len(before)] == before
        assert end.usage.prompt == len(prompt)
        assert end.usage.prefilled == len(prompt) - len(before)
        # The latest token was chosen and never computed.
        before = prompt + chosen(tokens)[:-1]
        messages += [say("assistant", end.text), say("tool", f"the answer {step}"), say("tool", "notes")]


def test_a_cached_prefix_gives_the_same_answer(tiny: Any, load_tiny: Any, say: Say) -> None:
    start = (say("system", "You are a fox."), say("user", "read the file " * 20))
    _, first = collect(tiny, GenerateRequest(messages=start, max_tokens=8))
    following = GenerateRequest(
        messages=(*start, say("assistant", first.text), say("user", "again")), max_tokens=30
    )
    warm, end = collect(tiny, following)
    assert 0 < end.usage.prefilled < end.usage.prompt
    fresh = load_tiny()
    tiny.chat.remember([], "", [])
    fresh.chat = tiny.chat
    cold, _ = collect(fresh, following)
    assert chosen(warm) == chosen(cold)
    for one, other in zip(warm, cold, strict=True):
        assert one.signal.logprob == pytest.approx(other.signal.logprob, abs=1e-4)
        assert one.signal.entropy == pytest.approx(other.signal.entropy, abs=1e-4)


def test_a_plain_question_does_not_evict_a_running_conversation(tiny: Any, say: Say) -> None:
    system = say("system", "You are a fox. " * 10)
    task = (system, say("user", "read the file " * 30))
    _, end = collect(tiny, GenerateRequest(messages=task, max_tokens=8))
    for question in ("one", "two"):
        collect(tiny, GenerateRequest(messages=(system, say("user", question)), max_tokens=8))
    following = (*task, say("assistant", end.text), say("user", "go on"))
    _, end = collect(tiny, GenerateRequest(messages=following, max_tokens=8))
    assert end.usage.prefilled < 30


@pytest.mark.parametrize("after", range(9))
def test_interrupted_anywhere_and_gone_on(tiny: Any, load_tiny: Any, ask: Any, after: int) -> None:
    request = ask("the quick brown fox " * 40, max_tokens=6)
    expected = chosen(collect(load_tiny(), request)[0])
    stream = tiny.stream(request)
    for _ in range(after):
        next(stream)
    stream.close()
    again, end = collect(tiny, request)
    assert chosen(again) == expected
    done = end.usage.prompt - end.usage.prefilled
    assert done == [0, 0, 256, 511, 511, 511, 511, 511, 511][after] or done == end.usage.prompt - 1


def test_progress_counts_up_in_chunks(tiny: Any, ask: Any) -> None:
    deltas = list(tiny.stream(ask("the quick brown fox " * 60)))
    progress = [delta for delta in deltas if isinstance(delta, PrefillProgress)]
    assert progress[0].done == 0
    assert progress[-1].done == progress[-1].total
    assert all(0 < b.done - a.done <= 256 for a, b in itertools.pairwise(progress))


def test_a_failing_pass_leaves_the_cache_right(tiny: Any, load_tiny: Any, ask: Any, monkeypatch: Any) -> None:
    request = ask(max_tokens=10)
    expected = chosen(collect(load_tiny(), request)[0])
    last = tiny.network.model.layers[-1]
    calls = 0

    def fail(*_: Any, **__: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError("out of memory")

    hook = last.register_forward_pre_hook(fail, with_kwargs=True)
    with pytest.raises(RuntimeError):
        collect(tiny, request)
    hook.remove()
    assert chosen(collect(tiny, request)[0]) == expected


def test_a_prompt_that_does_not_fit_names_both_numbers(tiny: Any, ask: Any, say: Say) -> None:
    request = ask("x" * 5000)
    needed = len(tiny.chat.prompt(request.messages)) + 1
    for call in (
        lambda: collect(tiny, request),
        lambda: tiny.generate_batch([request]),
        lambda: tiny.score([ScoreRequest(messages=request.messages, completion="")]),
    ):
        with pytest.raises(ModelError, match=rf"{needed} tokens.*2048"):
            call()


def test_the_context_ends_an_answer(load_tiny: Any, ask: Any) -> None:
    request = ask(max_tokens=500)
    prompt = len(load_tiny().chat.prompt(request.messages))
    tokens, end = collect(load_tiny(context_tokens=prompt + 5), request)
    assert end.finish_reason == "length"
    assert len(tokens) == 5


def test_the_end_of_turn_stops_and_is_no_text(tiny: Any, ask: Any, monkeypatch: Any) -> None:
    free = chosen(collect(tiny, ask())[0])
    stop = free[3]
    tiny.end_tokens = (stop,)
    tokens, end = collect(tiny, ask())
    assert end.finish_reason == "stop"
    assert chosen(tokens) == free[: free.index(stop) + 1]


def test_sampling_is_repeatable_and_follows_the_distribution(tiny: Any, ask: Any) -> None:
    def sample(seed: int | None, **fields: Any) -> list[int]:
        return chosen(collect(tiny, ask(temperature=1.0, seed=seed, **fields))[0])

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    assert sample(None) != sample(None)
    # A nucleus of almost nothing is greedy.
    assert sample(5, top_p=1e-6) == chosen(collect(tiny, ask())[0])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_words_to_be_avoided_are_not_begun_alone_or_in_a_batch(
    tiny: Any, ask: Any, temperature: float
) -> None:
    free, _ = collect(tiny, ask(temperature=temperature, seed=3))
    word = next(delta.text.strip() for delta in free if delta.text.strip().isalpha())
    first = {tiny.tokens.encode(begin + form)[0] for form in (word, word.lower()) for begin in ("", " ")}
    held = ask(temperature=temperature, seed=3, avoid=(word,))
    for request in (held, *tiny_twins(held)):
        tokens, end = collect(tiny, request)
        assert chosen(tokens) and not first & set(chosen(tokens))
        assert tiny.generate_batch([request])[0].text == end.text


def tiny_twins(request: Any) -> list[Any]:
    """The same request with one more word to be avoided, and with an odd one."""
    return [request.model_copy(update={"avoid": (*request.avoid, other)}) for other in ("fox", "日本")]


def test_a_request_that_avoids_nothing_is_written_as_ever(ask: Any) -> None:
    # what was answered before is found by how the request is written
    assert "avoid" not in ask().model_dump_json()


def test_scores_are_those_of_a_naive_pass(tiny: Any, say: Say) -> None:
    answers = ["", "the file", "日本", "x" * 300, "notes\n\n", *[f"answer {n}" * n for n in range(40)]]
    requests = [
        ScoreRequest(messages=(say("user", f"question {n}" * (n % 7 + 1)),), completion=answer)
        for n, answer in enumerate(answers)
    ]
    for request, score in zip(requests, tiny.score(requests), strict=True):
        prompt = tiny.chat.prompt(request.messages)
        assert score.token_ids[-1] == tiny.end_tokens[0]
        assert tiny.tokens.decode(score.token_ids) == request.completion
        logprobs = torch.log_softmax(naive_logits(tiny, prompt + list(score.token_ids)), dim=-1)
        for index, (token, logprob) in enumerate(zip(score.token_ids, score.logprobs, strict=True)):
            expected = float(logprobs[len(prompt) - 1 + index, token])
            assert logprob == pytest.approx(expected, abs=1e-4)
    assert tiny.score([]) == []


def test_the_score_of_an_answer_is_its_signals(tiny: Any, ask: Any) -> None:
    request = ask(max_tokens=300)
    tokens, end = collect(tiny, request)
    score = tiny.score([ScoreRequest(messages=request.messages, completion=end.text)])[0]
    ours = [delta.signal.logprob for delta in tokens]
    shown = len(score.token_ids) - 1
    assert list(score.token_ids[:shown]) == chosen(tokens)[:shown]
    assert list(score.logprobs[:shown]) == pytest.approx(ours[:shown], abs=1e-4)


def test_batches_are_single_streams(tiny: Any, ask: Any) -> None:
    requests = [ask("fox " * n, max_tokens=5 + n) for n in range(1, 20)]
    requests += [ask(f"file {n}", temperature=0.7, top_p=0.9, seed=n) for n in range(4)]
    for request, end in zip(requests, tiny.generate_batch(requests), strict=True):
        _, alone = collect(tiny, request)
        assert end.text == alone.text
        assert end.finish_reason == alone.finish_reason
        assert end.usage.generated == alone.usage.generated
        assert end.signals.mean_entropy == pytest.approx(alone.signals.mean_entropy, abs=1e-4)
    assert tiny.generate_batch([]) == []


def test_a_batch_computes_a_shared_beginning_once(
    tiny: Any, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = say("system", "You are a fox that reads the file. " * 12)
    requests = [
        GenerateRequest(messages=(system, say("user", f"file {'x ' * n}{n}")), max_tokens=12)
        for n in range(6)
    ]
    alone = [collect(tiny, request)[1] for request in requests]
    passes: list[int] = []
    forward = tiny.network.forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        passes.append(kwargs["input_ids"].numel())
        return forward(*args, **kwargs)

    monkeypatch.setattr(tiny.network, "forward", counted)
    together = tiny.generate_batch(requests)
    assert [end.text for end in together] == [end.text for end in alone]
    assert [end.usage.prompt for end in together] == [end.usage.prompt for end in alone]
    assert sum(passes) < sum(end.usage.prompt for end in alone) / 2


def test_counting_is_the_prompts_length(tiny: Any, ask: Any) -> None:
    request = ask(tools=(TOOL,))
    _, end = collect(tiny, request)
    assert tiny.count_tokens(request.messages, request.tools) == end.usage.prompt
    assert tiny.count_tokens(request.messages) < end.usage.prompt


@pytest.fixture(scope="module")
def adapters(tiny_qwen_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two real PEFT adapters with large random weights."""
    import peft

    folders = []
    for seed in (1, 2):
        network = load_network(tiny_qwen_dir, torch.device("cpu"), torch.float32, pack=False)
        torch.manual_seed(seed)
        config = peft.LoraConfig(
            r=4, lora_alpha=16, target_modules=["q_proj", "up_proj"], init_lora_weights=False
        )
        folder = tmp_path_factory.mktemp("adapters") / str(seed)
        peft.get_peft_model(network, config).save_pretrained(folder)
        folders.append(folder)
    return folders


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_adapters_switch_and_never_share_keys_and_values(
    load_tiny: Any, adapters: list[Path], ask: Any, dtype: torch.dtype
) -> None:
    model = load_tiny(dtype=dtype)
    request = ask("the quick brown fox " * 10)
    expected = {}
    for which in (None, *adapters):
        fresh = load_tiny(dtype=dtype)
        fresh.activate(which)
        expected[which] = chosen(collect(fresh, request)[0])
    assert len({tuple(tokens) for tokens in expected.values()}) == 3
    seen = set()
    for which in (None, adapters[0], None, adapters[1], adapters[0], adapters[0], None):
        model.activate(which)
        tokens, end = collect(model, request)
        assert chosen(tokens) == expected[which]
        # Computed anew for weights that have not seen this prompt, found again for those that have.
        assert end.usage.prefilled == (1 if which in seen else end.usage.prompt)
        seen.add(which)


def test_an_adapter_changed_on_disk_is_another_adapter(
    tiny: Any, adapters: list[Path], ask: Any, tmp_path: Path
) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_bytes((adapters[0] / name).read_bytes())
    tiny.activate(tmp_path)
    first = chosen(collect(tiny, ask())[0])
    (tmp_path / "adapter_model.safetensors").write_bytes(
        (adapters[1] / "adapter_model.safetensors").read_bytes()
    )
    tiny.activate(tmp_path)
    tokens, end = collect(tiny, ask())
    assert chosen(tokens) != first
    assert end.usage.prefilled == end.usage.prompt


def test_an_adapter_that_is_none_leaves_the_serving_one(
    tiny: Any, adapters: list[Path], ask: Any, tmp_path: Path
) -> None:
    base = chosen(collect(tiny, ask())[0])
    broken = tmp_path / "broken"
    broken.mkdir()
    with pytest.raises(ModelError, match=r"no adapter.*adapter_config\.json"):
        tiny.activate(broken)
    (broken / "adapter_config.json").write_bytes((adapters[0] / "adapter_config.json").read_bytes())
    (broken / "adapter_model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="does not fit"):
        tiny.activate(broken)
    assert chosen(collect(tiny, ask())[0]) == base
    tiny.activate(adapters[0])
    served = chosen(collect(tiny, ask())[0])
    assert served != base
    with pytest.raises(ModelError, match="does not fit"):
        tiny.activate(broken)
    assert chosen(collect(tiny, ask())[0]) == served


def test_packed_layers_are_the_same_to_the_bit(load_tiny: Any, ask: Any) -> None:
    from agent.model.packing import PackedLinear, can_pack

    if not can_pack():
        pytest.skip("no bfloat16 arithmetic here")
    plain, packed = load_tiny(dtype=torch.bfloat16, pack=False), load_tiny(dtype=torch.bfloat16)
    if not any(isinstance(layer, PackedLinear) for layer in packed.network.modules()):
        pytest.skip("too little free memory to pack")
    assert plain.network.state_dict().keys() == packed.network.state_dict().keys()
    one, other = collect(plain, ask(max_tokens=60))[0], collect(packed, ask(max_tokens=60))[0]
    assert [delta.signal for delta in one] == [delta.signal for delta in other]


class Script:
    """A constraint that forces and masks as told, and notes what it sees."""

    def __init__(self, start: Sequence[int] = (), follow: dict[int, list[int]] | None = None, only: int = -1):
        self.begin, self.follow, self.only = start, follow or {}, only
        self.accepted: list[int] = []
        self.masks = 0

    def start(self, logits: torch.Tensor, look: Look) -> Sequence[int]:
        self.width = logits.shape
        return self.begin

    def mask(self, logits: torch.Tensor) -> torch.Tensor:
        self.masks += 1
        if self.only >= 0:
            kept = logits[self.only].clone()
            logits.fill_(-torch.inf)
            logits[self.only] = kept
        return logits

    def accept(self, token_id: int) -> Sequence[int]:
        self.accepted.append(token_id)
        return self.follow.get(token_id, ())

    @property
    def forced(self) -> bool:
        return self.only >= 0


def constrained(load: Any, script: Script) -> LocalModel:
    return load(constraint_factory=lambda request: script)


def test_forced_tokens_are_computed_together_flagged_and_carry_raw_signals(load_tiny: Any, ask: Any) -> None:
    plain = load_tiny()
    opening = plain.tokens.encode('<tool_call>\n{"name": "')
    follow = plain.tokens.encode("list_files")
    request = ask(tools=(TOOL,), max_tokens=len(opening) + 12)
    prompt = plain.chat.prompt(request.messages, request.tools)
    first = int(naive_logits(plain, prompt + opening)[-1].argmax())
    script = Script(opening, {first: follow})
    model = constrained(load_tiny, script)
    passes: list[int] = []
    model.network.register_forward_pre_hook(
        lambda module, args, kwargs: passes.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    tokens, end = collect(model, request)
    ids = chosen(tokens)
    assert ids[: len(opening) + 1 + len(follow)] == [*opening, first, *follow]
    assert [delta.signal.forced for delta in tokens][: len(opening) + 1] == [True] * len(opening) + [False]
    assert passes[:3] == [len(prompt) if len(prompt) <= 256 else 256, *passes[1:3]]
    assert len(opening) in passes
    assert 1 + len(follow) in passes
    logprobs = torch.log_softmax(naive_logits(plain, prompt + ids), dim=-1)
    for index, delta in enumerate(tokens):
        expected = float(logprobs[len(prompt) - 1 + index, delta.signal.token_id])
        assert delta.signal.logprob == pytest.approx(expected, abs=1e-4)
    assert not set(script.accepted) & set(follow) or first in follow
    assert end.usage.generated == len(tokens)


def test_forced_tokens_stop_at_the_limit_and_at_the_end_of_turn(load_tiny: Any, ask: Any) -> None:
    tokens = load_tiny().tokens
    opening = tokens.encode("the quick brown fox reads")
    model = constrained(load_tiny, Script(opening))
    got, end = collect(model, ask(tools=(TOOL,), max_tokens=2))
    assert chosen(got) == opening[:2]
    assert end.finish_reason == "length"
    model = constrained(load_tiny, Script([*opening, model.end_tokens[0], 5, 6]))
    got, end = collect(model, ask(tools=(TOOL,)))
    assert chosen(got) == [*opening, model.end_tokens[0]]
    assert end.finish_reason == "stop"
    assert end.text == "the quick brown fox reads"


def test_masks_choose_but_signals_stay_raw(load_tiny: Any, ask: Any) -> None:
    free, _ = collect(load_tiny(), ask(tools=(TOOL,), max_tokens=1))
    only = (free[0].signal.token_id + 1) % 200
    got, _ = collect(constrained(load_tiny, Script(only=only)), ask(tools=(TOOL,), max_tokens=3))
    assert chosen(got) == [only] * 3
    assert all(delta.signal.forced for delta in got)
    assert got[0].signal.entropy == pytest.approx(free[0].signal.entropy, abs=1e-5)


def test_no_constraint_without_tools_or_when_turned_off(load_tiny: Any, ask: Any) -> None:
    script = Script(only=3)
    model = constrained(load_tiny, script)
    collect(model, ask())
    collect(model, ask(tools=(TOOL,), constrain=False))
    assert script.masks == 0
    batch = model.generate_batch([ask(), ask(tools=(TOOL,), max_tokens=2), ask()])
    assert script.masks == 2
    assert batch[0].text == batch[2].text


def test_damaged_models_are_one_sentence(tmp_path: Path, tiny_qwen_dir: Path, tiny: Any, ask: Any) -> None:
    with pytest.raises(ModelError, match="no model in"):
        LocalModel.load(tmp_path, "x")
    for file in tiny_qwen_dir.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="nightschool model verify"):
        LocalModel.load(tmp_path, "x")
    tiny.network.model.norm.weight.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="damaged"):
        collect(tiny, ask())
    with pytest.raises(ModelError, match="damaged"):
        tiny.generate_batch([ask()])
