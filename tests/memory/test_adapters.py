"""Adapter folders: their digest, their damage, and the registry that keeps them."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from memory.adapter_files import adapter_digest, canonical_digest, canonical_name, check_adapter
from memory.adapters import AdapterRegistry
from memory.errors import AdapterError
from memory.learning import AdapterCard
from tests.agent.kept_home import make_card, write_adapter

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_adapter(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def registry(tmp_path: Path) -> AdapterRegistry:
    return AdapterRegistry(tmp_path / "adapters")


def add(registry: AdapterRegistry, source: Path, name: str, parent: str | None = None) -> AdapterCard:
    days = len(registry.ids())
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days)
    card = make_card(name, adapter_digest(source), [f"le_{name}"], parent=parent, created_at=at)
    registry.add(card, source)
    return card


def test_the_digest_is_of_what_is_computed(source: Path, tmp_path: Path) -> None:
    digest = adapter_digest(source)
    tensors = load_file(source / WEIGHTS)
    assert digest == canonical_digest(tensors, 2.0)
    assert digest == canonical_digest({canonical_name(name): t for name, t in tensors.items()}, 2.0)
    # how the file is laid out does not matter
    save_file(dict(reversed(tensors.items())), source / WEIGHTS, metadata={"format": "pt"})
    assert adapter_digest(source) == digest
    first = sorted(tensors)[0]
    others = [
        canonical_digest(tensors, 1.0),
        canonical_digest({**tensors, first: tensors[first] + 1e-3}, 2.0),
        canonical_digest({**tensors, first: tensors[first].reshape(-1)}, 2.0),
        canonical_digest({name: t for name, t in tensors.items() if name != first}, 2.0),
        canonical_digest({**{n: t for n, t in tensors.items() if n != first}, "other": tensors[first]}, 2.0),
    ]
    assert len({digest, *others}) == 6


def test_the_scaling_is_part_of_it(source: Path) -> None:
    before = adapter_digest(source)
    config = json.loads((source / CONFIG).read_text())
    (source / CONFIG).write_text(json.dumps({**config, "lora_alpha": 6}))
    scaled = adapter_digest(source)
    (source / CONFIG).write_text(json.dumps({**config, "use_rslora": True}))
    assert len({before, scaled, adapter_digest(source)}) == 3
    assert adapter_digest(source) == canonical_digest(load_file(source / WEIGHTS), 4.0)


def test_half_precision_files_are_read(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file as save_torch

    write_adapter(tmp_path / "half", dtype=np.float16)
    check_adapter(tmp_path / "half")
    tensors = {
        name: torch.from_numpy(t).bfloat16() for name, t in load_file(tmp_path / "half" / WEIGHTS).items()
    }
    save_torch(tensors, tmp_path / "half" / WEIGHTS)
    check_adapter(tmp_path / "half")
    wide = {name: tensor.float().numpy() for name, tensor in tensors.items()}
    assert adapter_digest(tmp_path / "half") == canonical_digest(wide, 2.0)


def test_the_served_digest_is_taken_from_memory(tiny_qwen_dir: Path, tmp_path: Path) -> None:
    """What a loaded model serves has the digest of the files; other weights in memory have another."""
    import torch
    from peft import LoraConfig, get_peft_model

    from agent.errors import ModelError
    from agent.model.loading import load_network
    from agent.model.local import LocalModel

    folders = []
    for seed, layers in enumerate(([1], [0, 1])):
        network = load_network(tiny_qwen_dir, torch.device("cpu"), torch.float32)
        torch.manual_seed(seed)
        wrapped = get_peft_model(
            network,
            LoraConfig(
                r=4,
                lora_alpha=8,
                layers_to_transform=layers,
                init_lora_weights=False,
                target_modules=["q_proj", "down_proj"],
            ),
        )
        folders.append(tmp_path / str(seed))
        wrapped.save_pretrained(folders[-1])
        check_adapter(folders[-1])
    model = LocalModel.load(tiny_qwen_dir, "tiny", device="cpu")
    assert model.served_digest() == ""
    for folder in (folders[0], folders[1], folders[0]):
        model.activate(folder)
        assert model.served_digest() == adapter_digest(folder)
    assert adapter_digest(folders[0]) != adapter_digest(folders[1])
    lora = next(p for name, p in model.network.named_parameters() if "lora_A" in name and p.abs().sum() > 0)
    with torch.no_grad():
        lora += 1e-3
    digests = {model.served_digest()}
    model.activate(folders[1])
    digests.add(model.served_digest())
    assert digests != {adapter_digest(folders[0]), adapter_digest(folders[1])}
    model.activate(None)
    assert model.served_digest() == ""
    model.activate(folders[0])
    next(layer for layer in model.network.modules() if hasattr(layer, "lora_A")).set_adapter([])
    with pytest.raises(ModelError, match="different adapters"):
        model.served_digest()


def test_a_sound_folder_is_kept_and_found(registry: AdapterRegistry, source: Path) -> None:
    card = add(registry, source, "ad_1")
    assert registry.get("ad_1") == card
    assert sorted(path.name for path in registry.path("ad_1").iterdir()) == [CONFIG, WEIGHTS, "card.json"]
    assert adapter_digest(registry.path("ad_1")) == card.digest
    # the source may go
    shutil.rmtree(source)
    registry.path("ad_1")


def test_nothing_is_created_before_it_is_used(registry: AdapterRegistry) -> None:
    assert (registry.list(), registry.ids(), registry.descendants("x"), registry.remove("x")) == (
        [],
        [],
        [],
        False,
    )
    registry.sweep()
    assert not registry.folder.exists()


def test_adding_again_changes_nothing(registry: AdapterRegistry, source: Path, tmp_path: Path) -> None:
    card = add(registry, source, "ad_1")
    assert registry.add(card, source) == registry.folder / "ad_1"
    write_adapter(tmp_path / "other", seed=5)
    other = make_card("ad_1", adapter_digest(tmp_path / "other"), [])
    with pytest.raises(AdapterError, match="an adapter ad_1 already"):
        registry.add(other, tmp_path / "other")
    assert registry.get("ad_1") == card


def test_a_card_that_belongs_to_other_weights_is_refused(registry: AdapterRegistry, source: Path) -> None:
    with pytest.raises(AdapterError, match="not what its card says"):
        registry.add(make_card("ad_1", "0" * 64, []), source)
    assert registry.ids() == []


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b", "x" * 200, "é"])
def test_an_id_is_no_path(registry: AdapterRegistry, source: Path, name: str) -> None:
    with pytest.raises(AdapterError, match="no name for an adapter"):
        registry.add(make_card(name, adapter_digest(source), []), source)
    with pytest.raises(AdapterError, match="no adapter"):
        registry.get(name)
    assert not registry.remove(name)


@pytest.mark.parametrize("file", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("how", ["missing", "cut", "empty", "garbled"])
def test_damage_is_named(registry: AdapterRegistry, source: Path, file: str, how: str) -> None:
    add(registry, source, "ad_1")
    for folder in (source, registry.folder / "ad_1"):
        path = folder / file
        content = path.read_bytes()
        if how == "missing":
            path.unlink()
        else:
            path.write_bytes({"cut": content[:-20], "empty": b"", "garbled": b"\xa5" * len(content)}[how])
    with pytest.raises(AdapterError, match=r"(damaged|incomplete).*adapters activate"):
        check_adapter(source)
    with pytest.raises(AdapterError, match=r"ad_1 is (damaged|incomplete)"):
        registry.path("ad_1")
    with pytest.raises(AdapterError):
        registry.add(make_card("ad_2", "0" * 64, []), source)
    assert registry.ids() == ["ad_1"]


def test_one_flipped_bit_in_the_weights_is_noticed(registry: AdapterRegistry, source: Path) -> None:
    add(registry, source, "ad_1")
    path = registry.folder / "ad_1" / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    with pytest.raises(AdapterError, match="not those its card was written for"):
        registry.path("ad_1")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda tensors, config: tensors.update({sorted(tensors)[0]: np.full((4, 8), np.nan, np.float32)}),
            "no numbers",
        ),
        (lambda tensors, config: tensors.pop(sorted(tensors)[1]), "no lora_B"),
        (lambda tensors, config: tensors.clear(), "no LoRA tensor"),
        (lambda tensors, config: config.update(r=3), "not of rank 3"),
        (lambda tensors, config: config.update(r=0), "does not describe"),
        (lambda tensors, config: config.update(r="x"), "does not describe"),
        (lambda tensors, config: config.pop("lora_alpha"), "does not describe"),
        (lambda tensors, config: config.update(peft_type="IA3"), "does not describe"),
        (lambda tensors, config: config.update(rank_pattern={"q_proj": 2}), "different rank"),
    ],
)
def test_an_adapter_that_makes_no_sense_is_refused(source: Path, change: object, says: str) -> None:
    tensors = load_file(source / WEIGHTS)
    config = json.loads((source / CONFIG).read_text())
    change(tensors, config)  # type: ignore[operator]
    save_file(tensors, source / WEIGHTS)
    (source / CONFIG).write_text(json.dumps(config))
    with pytest.raises(AdapterError, match=says):
        check_adapter(source)


def test_lists_newest_first_and_reports_what_cannot_be_read(
    registry: AdapterRegistry, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ad_b", "ad_a", "ad_c"):
        add(registry, source, name)
    assert [card.id for card in registry.list()] == ["ad_c", "ad_a", "ad_b"]
    (registry.folder / "ad_a" / "card.json").write_text("{")
    (registry.folder / "ad_d").mkdir()
    shutil.copytree(registry.folder / "ad_b", registry.folder / "ad_e")
    cards, problems = registry.read()
    assert [card.id for card in cards] == ["ad_c", "ad_b"]
    assert len(problems) == 3
    assert all(name in text for name, text in zip(("ad_a", "ad_d", "ad_e"), problems, strict=True))
    assert "ad_a" in caplog.text
    assert registry.remove("ad_a")
    assert registry.ids() == ["ad_b", "ad_c", "ad_d", "ad_e"]


def test_knows_the_family(registry: AdapterRegistry, source: Path) -> None:
    add(registry, source, "a")
    add(registry, source, "b", parent="a")
    add(registry, source, "c", parent="b")
    add(registry, source, "d", parent="a")
    add(registry, source, "e")
    assert [card.id for card in registry.descendants("a")] == ["d", "c", "b"]
    assert [card.id for card in registry.descendants("b")] == ["c"]
    assert [card.id for card in registry.ancestors("c")] == ["b", "a"]
    registry.remove("b")
    assert [card.id for card in registry.ancestors("c")] == []
    assert registry.ancestors("gone") == []


def test_what_a_crash_left_half_done_is_not_seen_and_swept(registry: AdapterRegistry, source: Path) -> None:
    add(registry, source, "ad_1")
    for left in (".ad_2.new", ".ad_0.old"):
        shutil.copytree(registry.folder / "ad_1", registry.folder / left)
    assert registry.ids() == ["ad_1"]
    add(registry, source, "ad_2")
    assert sorted(path.name for path in registry.folder.iterdir()) == ["ad_1", "ad_2"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, source: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(AdapterError, match=r"Cannot write adapter .*ad_1: file exists"):
        add(AdapterRegistry(tmp_path / "file"), source, "ad_1")


def test_only_the_card_may_be_rewritten(registry: AdapterRegistry, source: Path) -> None:
    card = add(registry, source, "ad_1")
    changed = card.model_copy(update={"exam": None})
    registry.rewrite_card(changed)
    assert registry.get("ad_1") == changed
    registry.path("ad_1")
