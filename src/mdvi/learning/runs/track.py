"""Send metrics to TensorBoard, Weights & Biases or MLflow; all of them are optional."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mdvi.extras import explained
from mdvi.learning.request import AXES

_HEAD = ("env_steps", "member", "seed", *AXES)
SERVICES = ("wandb", "mlflow")


class Sink(NamedTuple):
    """A service for metrics: `log` takes values by name and the step; `close` is called once at the end."""

    log: Callable[[dict[str, float], int], object]
    close: Callable[[], object]


@contextlib.contextmanager
def tracker(
    tensorboard: Path | None, service: str | None, remark: Callable[[str], object]
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that takes a line of metrics and sends it on, each member under its own name.

    Args:
        tensorboard: a folder for TensorBoard.
        service: "wandb" or "mlflow", which read their own environment variables.
        remark: called once if a service fails during training; training continues without it.

    Raises:
        ValueError: if the service is unknown or does not start.
        ModuleNotFoundError: if it is not installed.
    """
    if service not in (None, *SERVICES):
        raise ValueError(f"--track: expected {' or '.join(SERVICES)}, got {service!r}")
    sinks: dict[str, Sink] = {}
    if tensorboard is not None:
        sinks["tensorboard"] = _tensorboard(tensorboard)
    if service is not None:
        try:
            sinks[service] = {"wandb": _wandb, "mlflow": _mlflow}[service]()
        except ModuleNotFoundError:
            raise
        except Exception as error:  # services raise their own types
            raise ValueError(f"--track {service}: {_line(error)}") from error

    def attempt(name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # a service that fails must not stop training
            sinks.pop(name)
            remark(f"{name} failed and gets no more metrics: {_line(error)}")

    def send(row: dict[str, Any]) -> None:
        step = int(row["env_steps"])
        values = {
            f"member_{row['member']}/{name}": float(value)
            for name, value in row.items()
            if name not in _HEAD and value == value  # not NaN
        }
        for name, sink in list(sinks.items()):
            attempt(name, partial(sink.log, values, step))

    try:
        yield send
    finally:
        for name, sink in list(sinks.items()):
            attempt(name, sink.close)


def _tensorboard(folder: Path) -> Sink:
    with explained():
        from tensorboardX import SummaryWriter
    writer = SummaryWriter(str(folder))

    def log(values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    return Sink(log, writer.close)


def _wandb() -> Sink:
    with explained():
        import wandb
    run = wandb.init()
    return Sink(lambda values, step: run.log(values | {"env_steps": step}), run.finish)


def _mlflow() -> Sink:
    with explained():
        import mlflow
    mlflow.start_run()
    return Sink(lambda values, step: mlflow.log_metrics(values, step=step), mlflow.end_run)


def _line(error: Exception) -> str:
    """The first line of the message of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
