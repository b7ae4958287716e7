"""`python -P -m benchmarks.train_trl JOB`: the same chats by TRL's SFTTrainer with PEFT, for comparison.

Needs the extra `trl`. JOB is a JSON file with `base`, `chats` (prompt and completion messages), `out`,
`passes`, `rank`, `alpha`, `rate`, `batch`, `seed` and `threads`; the adapter goes to `out`, and the last
line of standard output is a JSON object with the seconds of training. Everything else is TRL's default for
LoRA in bfloat16 with the loss on the answer, but for checkpointing, which would only make it slower.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from agent.model.offline import go_offline


def main(path: Path) -> dict[str, Any]:
    """Train as the job says."""
    go_offline()
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    job = json.loads(path.read_text(encoding="utf-8"))
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    moments: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            moments.append(time.monotonic())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            moments.append(time.monotonic())

    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(job["base"], dtype=torch.bfloat16),
        processing_class=AutoTokenizer.from_pretrained(job["base"]),
        train_dataset=Dataset.from_list(job["chats"]),
        peft_config=LoraConfig(
            r=job["rank"], lora_alpha=job["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
        ),
        args=SFTConfig(
            output_dir=str(path.parent / "trl"),
            num_train_epochs=job["passes"],
            per_device_train_batch_size=job["batch"],
            learning_rate=job["rate"],
            lr_scheduler_type="cosine",
            completion_only_loss=True,
            bf16=True,
            # its default recomputes activations to save memory, which costs a third of the speed
            gradient_checkpointing=False,
            use_cpu=not torch.cuda.is_available(),
            seed=job["seed"],
            save_strategy="no",
            report_to="none",
            logging_strategy="no",
            disable_tqdm=True,
        ),
        callbacks=[Clock()],
    )
    trainer.train()
    trainer.model.save_pretrained(job["out"])
    return {"train_seconds": moments[-1] - moments[0], "steps": len(moments) // 2}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
