"""What a run says while it goes on, and how it is stopped without losing a step."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Progress(TrainerCallback):
    """A line now and then: step, loss, items a second, time left."""

    def __init__(self, items_per_step: float):
        self.items_per_step = items_per_step
        self.began, self.first = 0.0, 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self.began, self.first = time.monotonic(), state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        done = state.global_step - self.first
        if not state.is_world_process_zero or not logs or "loss" not in logs or not done:
            return
        pace = (time.monotonic() - self.began) / done
        left = pace * (state.max_steps - state.global_step)
        print(
            f"step {state.global_step}/{state.max_steps}  loss {float(logs['loss']):.4f}  "
            f"rate {float(logs['learning_rate']):.2e}  {self.items_per_step / pace:.1f} items/s  "
            f"{_minutes(left)} left",
            flush=True,
        )


class Stopping(TrainerCallback):
    """Keeps the state and ends the run at the end of a step, once that is wished."""

    def __init__(self) -> None:
        self.is_wished = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within, the first SIGINT or SIGTERM is such a wish, and a second one ends the process.

        Threads other than the main one get no signals, and nothing is watched in them.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

        def wish(number: int, frame: object) -> None:
            self.is_wished = True
            print("Stopping at the end of this step, to keep the state.", flush=True)
            for each, handler in before.items():
                signal.signal(each, handler)

        for each in before:
            signal.signal(each, wish)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        if self.is_wished:
            control.should_save = control.should_training_stop = True


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min"
