"""The settings of training: sizes and periods, which shape the compiled program, and their presets.

Numbers of a grid (λ, τ, learning rate, exploration) are not settings but leaves of an `Agent`.
"""

from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mdvi.words import did_you_mean

_MOST_LAYERS = 100


class Settings(BaseModel):
    """Sizes and periods; steps are environment steps throughout.

    Source of the defaults: the paper, Table 3 (CartPole); Dopamine for values that the paper does not give.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: tuple[int, ...] = Field(default=(512, 512), description="widths of the fully connected layers")
    torso: Literal["none", "minatar", "nature"] = Field(
        default="none", description="convolutions before the fully connected layers"
    )
    normalize: bool = Field(
        default=False, description="shift and scale observations by the mean and the deviation of all earlier ones"
    )
    environments: int = Field(default=1, ge=1, le=2**30, description="environments of each member")
    update_period: int = Field(default=4, ge=1, le=2**30, description="F: environment steps per gradient step")
    target_period: int = Field(
        default=100, ge=1, le=2**30, description="C: environment steps between copies to the target networks"
    )
    replay: int = Field(default=50_000, ge=1, le=2**30, description="capacity of the replay, in transitions")
    warmup: int = Field(default=500, ge=1, le=2**30, description="environment steps before the first gradient step")
    batch: int = Field(default=128, ge=1, le=2**30, description="transitions in a minibatch")
    replay_on_disk: bool = Field(
        default=False, description="keep the frames of a host environment in a file instead of in memory"
    )
    n_step: int = Field(default=1, ge=1, le=2**30, description="rewards summed before the target bootstraps")
    optimizer: Literal["adam", "rmsprop"] = Field(default="adam", description="Adam, or centred RMSprop")
    optimizer_epsilon: float = Field(
        default=3.125e-4, gt=0, allow_inf_nan=False, description="ε in the denominator of the optimizer"
    )
    clip_gradients: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="the largest norm of a gradient; 0 for no limit"
    )
    polyak: float = Field(
        default=0.0, ge=0, le=1, allow_inf_nan=False,
        description="share of the networks that enters the target networks at every gradient step; 0 for copies",
    )  # fmt: skip
    loss: Literal["squared", "huber"] = Field(default="squared", description="loss of the critic")
    log_period: int = Field(default=2000, ge=1, le=2**30, description="environment steps between two lines of metrics")
    evaluation_period: int = Field(
        default=0, ge=0, le=2**30, description="environment steps between evaluations; 0 for no evaluations"
    )
    evaluation_episodes: int = Field(default=20, ge=1, le=2**20, description="episodes in an evaluation")
    stop_at: float | None = Field(
        default=None, allow_inf_nan=False, description="the mean return of an evaluation at which training ends"
    )
    diagnostics: bool = Field(default=False, description="KL between policies, entropy, action gap and Bellman errors")

    def model_post_init(self, _: Any) -> None:
        """Check that periods and sizes fit together."""
        if not all(1 <= width <= 2**20 for width in self.hidden):
            raise ValueError(f"hidden: widths must be between 1 and 2²⁰, got {str(self.hidden)[:60]}")
        if len(self.hidden) > _MOST_LAYERS:
            raise ValueError(f"hidden: expected at most {_MOST_LAYERS} layers, got {len(self.hidden)}")
        for name, whole in (
            ("update_period", self.environments),
            ("target_period", self.update_period),
            ("warmup", self.environments),
            ("replay", self.environments),
        ):
            if getattr(self, name) % whole:
                unit = "update_period" if name == "target_period" else "environments"
                raise ValueError(f"{name}: {getattr(self, name)} is not a multiple of {unit}, {whole}")
        if not self.n_step * self.environments <= self.warmup <= self.replay:
            raise ValueError(
                f"warmup: expected n_step · environments ≤ warmup ≤ replay, that is "
                f"{self.n_step * self.environments} to {self.replay}, got {self.warmup}"
            )
        if self.normalize and self.torso != "none":
            raise ValueError("normalize: pictures are scaled already; set normalize=false, or torso=none")
        if self.stop_at is not None and not self.evaluation_period:
            raise ValueError("stop_at: is compared with evaluations during training, so set evaluation_period too")
        if self.batch > self.replay:
            raise ValueError(f"batch: expected at most replay = {self.replay} transitions, got {self.batch}")

    @property
    def chunk(self) -> int:
        """Target periods between two lines of metrics."""
        return max(1, round(self.log_period / self.target_period))

    def chunks(self, steps: int) -> int:
        """The number of chunks, each with a line of metrics at its end, in training for at least this many steps."""
        return max(1, -(-(steps - self.warmup) // (self.chunk * self.target_period)))

    def steps_after(self, chunks: int) -> int:
        """Environment steps after this many chunks."""
        return self.warmup + chunks * self.chunk * self.target_period


def changed(settings: Settings, changes: dict[str, Any]) -> Settings:
    """The settings with some changes.

    Raises:
        ValueError: if a setting is invalid; the message names the first one.
    """
    try:
        return Settings.model_validate(settings.model_dump() | changes)
    except ValidationError as error:
        raise ValueError(refusal(error)) from None


def refusal(error: ValidationError) -> str:
    """A message about the first invalid field."""
    first = error.errors()[0]
    where = ".".join(part for part in first["loc"] if isinstance(part, str))
    text = first["msg"].removeprefix("Value error, ")
    if where == "hidden" and first["type"] == "tuple_type":
        text = "expected widths of layers, such as (64, 64)"
    return f"{where}: {text}, got {first['input']!r}" if where else text


class Preset(NamedTuple):
    """Settings, default numbers of the agent, and default environment steps."""

    settings: Settings
    numbers: dict[str, float]
    steps: int


# The first three: Vieillard et al. (2020), Tables 3 and 4; other values are from the configurations of Dopamine.
PRESETS: dict[str, Preset] = {
    "cartpole": Preset(Settings(log_period=1000), {"learning_rate": 1e-3, "epsilon": 0.01}, 500_000),
    "lunarlander": Preset(Settings(target_period=2500), {"learning_rate": 1e-3, "epsilon": 0.01}, 500_000),
    "atari": Preset(
        Settings(
            torso="nature", hidden=(512,), batch=32, target_period=8000, replay=1_000_000, warmup=20_000,
            optimizer="rmsprop", optimizer_epsilon=1e-5, log_period=8000,
        ),
        {"learning_rate": 2.5e-4, "epsilon": 0.01, "epsilon_steps": 250_000},
        50_000_000,
    ),
    "minatar": Preset(
        Settings(
            torso="minatar", hidden=(128,), batch=32, target_period=1000, replay=100_000, warmup=1000
        ),
        {"learning_rate": 2.5e-4, "epsilon": 0.01, "epsilon_steps": 100_000},
        1_000_000,
    ),
    "small": Preset(Settings(hidden=(64, 64), batch=64), {"learning_rate": 1e-3, "epsilon": 0.01}, 100_000),
    "speed": Preset(
        Settings(
            hidden=(120, 84), environments=10, update_period=10, target_period=500, replay=10_000, warmup=1000,
            log_period=10_000, optimizer_epsilon=1e-8,
        ),
        {"learning_rate": 2.5e-4, "epsilon": 0.05, "epsilon_steps": 250_000},
        500_000,
    ),
}  # fmt: skip
_PAPER = {"LunarLander": "lunarlander", "ALE/": "atari", "minatar": "minatar"}  # "cartpole" for all others


def preset_of(name: str, env: str) -> Preset:
    """A preset by name; "paper" selects the preset of the paper, or of later work on MinAtar, for that environment.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest one.
    """
    if name == "paper":
        name = next((preset for start, preset in _PAPER.items() if env.startswith(start)), "cartpole")
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}{did_you_mean(name, [*PRESETS, 'paper'])}")
    return PRESETS[name]
