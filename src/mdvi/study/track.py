"""Metrics to TensorBoard, Weights & Biases or MLflow, whichever is asked for; all of them optional."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_HEAD = ("env_steps", "member", "seed", "kl", "entropy", "beta", "learning_rate")
SERVICES = ("wandb", "mlflow")


@contextlib.contextmanager
def tracker(tensorboard: Path | None, service: str | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that takes a line of metrics and sends it on, each member under its own name.

    Args:
        tensorboard: a folder for TensorBoard.
        service: "wandb" or "mlflow", configured as these are by their own environment variables.

    Raises:
        ValueError: for an unknown service.
        ModuleNotFoundError: when it is not installed.
    """
    if service not in (None, *SERVICES):
        raise ValueError(f"--track: expected {' or '.join(SERVICES)}, got {service!r}")
    with contextlib.ExitStack() as stack:
        sinks = []
        if tensorboard is not None:
            sinks.append(_tensorboard(stack, tensorboard))
        if service == "wandb":
            sinks.append(_wandb(stack))
        if service == "mlflow":
            sinks.append(_mlflow(stack))

        def send(row: dict[str, Any]) -> None:
            step = int(row["env_steps"])
            values = {
                f"member_{row['member']}/{name}": float(value)
                for name, value in row.items()
                if name not in _HEAD and value == value  # not NaN
            }
            for sink in sinks:
                sink(values, step)

        yield send


def _tensorboard(stack: contextlib.ExitStack, folder: Path) -> Callable[[dict[str, float], int], None]:
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError:
        raise _missing("tensorboardX") from None
    writer = SummaryWriter(str(folder))
    stack.callback(writer.close)

    def sink(values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    return sink


def _wandb(stack: contextlib.ExitStack) -> Callable[[dict[str, float], int], None]:
    try:
        import wandb
    except ModuleNotFoundError:
        raise _missing("wandb") from None
    run = wandb.init()
    stack.callback(run.finish)
    return lambda values, step: run.log(values | {"env_steps": step})


def _mlflow(stack: contextlib.ExitStack) -> Callable[[dict[str, float], int], None]:
    try:
        import mlflow
    except ModuleNotFoundError:
        raise _missing("mlflow") from None
    stack.enter_context(mlflow.start_run())
    return lambda values, step: mlflow.log_metrics(values, step=step)


def _missing(package: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"{package} is not installed: pip install 'mdvi[tracking]'", name=package)
