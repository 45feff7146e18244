"""What can be set: a value per section of `weir.toml`, with its default. Reads nothing."""

from typing import Annotated, Literal

import msgspec

from formats.schema import Schema

Task = Literal["binary", "regression", "multiclass", "bandit"]

DEDUPE = 10_000
DEDUPE_JOINED = 100_000

_DEFAULT_ARGS = {
    "binary": "--loss_function logistic --link logistic",
    "regression": "",
    "bandit": "--cb_explore_adf",
}


GUARD_METRICS: dict[Task, tuple[str, ...]] = {
    "binary": ("average_loss", "log_loss", "brier"),
    "regression": ("average_loss", "rmse", "mae"),
    "multiclass": ("average_loss",),
    "bandit": ("average_loss",),
}
"""What `deploy.guard_metric` may be: figures that a window of the task has, of which higher is worse."""


class ConfigError(Exception):
    """A setting that is unknown, of the wrong type, or impossible. The message names it and says what to do."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class ModelSettings(_Section, frozen=True):
    """`[model]`: which model this is."""

    name: str = "model"
    task: Task = "binary"
    owner: str = ""
    metadata: dict[str, str] = {}


class LearnerSettings(_Section, frozen=True):
    """`[learner]`: what learns. `args` are VW's own, or a river expression; the default depends on the task.

    `names`: how many names of features are kept, 0 for none. They are looked for in the first `names_first` examples
    (None: as many as suit a service, or a bounded run), and in one of `names_every` after those.
    """

    kind: Literal["vw", "river"] = "vw"
    args: str | None = None
    names: int = 262_144
    names_first: int | None = None
    names_every: int = 16


class EventSettings(_Section, frozen=True):
    """`[events]`: how events are written, and how far back a repeated id is recognised.

    `separator` stands between cells: by default a comma for csv, a tab for tsv. `quoting` says whether quotes hold
    cells together: by default in csv, and not in tsv, which has none.
    """

    format: Literal["json", "vw", "csv", "tsv"] = "json"
    columns: list[str] = []
    encoding: str = "utf-8"
    separator: str | None = None
    quoting: bool | None = None
    dedupe_window: int | None = None
    max_bytes: int = 1 << 20


class SourceSettings(_Section, frozen=True):
    """`[source]`: where events come from. `batch` is the size of a micro-batch.

    `group`: the Kafka consumer group of the services that share the model, by default weir.<model.name>.<topic>.

    `kafka` holds options of aiokafka; its secrets come from WEIR_SOURCE_KAFKA_PASSWORD, WEIR_SOURCE_KAFKA_KEY_PASSWORD,
    or the same with _FILE, only.
    """

    url: str = "log:data/log"
    partitions: int | None = None
    retain_s: float | None = None
    retain_bytes: int | None = None
    batch: int = 128
    timeout_s: float = 10.0
    group: str | None = None
    kafka: dict[str, str | int | float | bool] = {}
    kafka_password: str | None = None
    kafka_key_password: str | None = None


class CheckpointSettings(_Section, frozen=True):
    """`[checkpoints]`: where they are kept, how often they are taken, and how many stay.

    `options` go to the file system of an object store; its secrets come from the environment that it reads itself.
    `other_versions`: what to do with a checkpoint that other versions of its libraries have made.
    """

    url: str = "data/checkpoints"
    options: dict[str, str | int | float | bool] = {}
    other_versions: Literal["warn", "refuse"] = "warn"
    every_events: int = 10_000
    every_s: float = 60.0
    keep: int = 20


class DeploySettings(_Section, frozen=True):
    """`[deploy]`: what is deployed without a person, and what is never deployed.

    Each new checkpoint is deployed under `tag`, unless it fails the `sanity` set (a file of golden events), or the loss
    guard holds: `guard_metric` over its window is worse by more than `guard_worsens_by` than the best one's. `models`:
    how many stored models stay loaded, beside those of tags.
    """

    tag: str | None = None
    sanity: str | None = None
    models: int = 8
    guard_worsens_by: float | None = None
    guard_metric: Literal["average_loss", "log_loss", "brier", "rmse", "mae"] = "average_loss"
    guard_then: Literal["hold", "best"] = "hold"


class ShadowLearner(_Section, frozen=True):
    """`[shadows.learners.NAME]`: learns what the live model does, from the log's `start`, or from where that one is."""

    kind: Literal["vw", "river"] = "vw"
    args: str = ""
    begin: Literal["live", "start"] = "live"


class ShadowSettings(_Section, frozen=True):
    """`[shadows]`: models that see requests and events and answer nobody.

    `learners` learn beside the live model, with other arguments or another library. Shadows hear a `fraction` of the
    requests. One that says nothing for `patience_s` is killed and started again.
    """

    learners: dict[str, ShadowLearner] = {}
    fraction: float = 1.0
    patience_s: float = 30.0


class HttpSettings(_Section, frozen=True):
    """`[http]`: where the service listens. `token` comes from WEIR_HTTP_TOKEN or WEIR_HTTP_TOKEN_FILE only."""

    host: str = "127.0.0.1"
    port: int = 8080
    hosts: list[str] = []
    """Names by which it is asked, beside localhost and addresses; with a token any will do."""
    max_body_bytes: int = 8 << 20
    max_waiting: int = 256
    token: str | None = None


class JoinSettings(_Section, frozen=True):
    """`[join]`: topics on the cluster of `source.url` by which labels meet their predictions across machines.

    All three topics are named, or none: then labels are joined on the machine that predicted. `wait_s` is how long a
    prediction waits for its label, a label for its prediction, and a repeated label is known for one.
    """

    predictions: str | None = None
    labels: str | None = None
    dead_letters: str | None = None
    wait_s: float = 7 * 86_400.0
    partitions: int | None = None

    @property
    def is_set(self) -> bool:
        """Whether labels are joined across machines."""
        return self.predictions is not None


class ProgressiveSettings(_Section, frozen=True):
    """`[progressive]`: over how many labelled examples the window slides, and how fast the fading figures forget."""

    window: int = 1_000
    fading: float = 0.999


class ImportanceSettings(_Section, frozen=True):
    """`[importance]`: at most every `every_s` a new checkpoint's importance is compared with the last one's; 0: never.

    Where the rank correlation of the fields is less than `alert_below`, that is a warning.
    """

    every_s: float = 300.0
    alert_below: float = 0.5


class ValueCell(_Section, frozen=True):
    """One of `value.cells`: what a decision earns of which this came true and that was predicted."""

    actual: str | int | float | bool
    predicted: str | int | float | bool
    value: float


class ValueSettings(_Section, frozen=True):
    """`[value]`: what decisions earn or cost. `cells` names all four by actual and predicted, or none.

    Names are those of `[schema] labels`, or positive and negative, true and false, 1 and 0 (-1). A decision is positive
    from the probability `threshold` on: 0 to 0.999 in steps of 0.001.
    """

    currency: str = "USD"
    cells: list[ValueCell] = []
    threshold: float = 0.5

    @property
    def is_set(self) -> bool:
        """Whether the value is counted."""
        return bool(self.cells)


class StateSettings(_Section, frozen=True):
    """`[state]`: the folder for what belongs to this machine.

    Dead letters, predictions, the order journal, figures over time, which alerts fire.
    """

    dir: str = "data/state"
    dead_letters: int = 100_000


class PredictionSettings(_Section, frozen=True):
    """`[predictions]`: the log of served predictions, which late labels are joined with.

    At most `keep` of them are kept, of at most `keep_bytes`, none older than `keep_s`. Those of events without an id
    are kept under one of the log's own where `without_id` is set. `topic`, as kafka://HOST:PORT/TOPIC, gets a record of
    each, with the hash of its event, or with `features` the event too.
    """

    keep: int = 1_000_000
    keep_s: float = 7 * 86_400.0
    keep_bytes: int = 4 << 30
    without_id: bool = True
    topic: str | None = None
    features: bool = False


class HookSettings(_Section, frozen=True):
    """`[hooks]`: functions of the user's, as `package.module:function`, from the current folder or PYTHONPATH.

    `features` makes of a decoded JSON event the one that is learnt from and predicted; `predict` hears of answers.
    """

    features: str | None = None
    predict: str | None = None


class AlertRule(_Section, frozen=True):
    """One of `[alerts]`: it fires once its value has been above `threshold` for `for_s`. None: as the rule has it."""

    threshold: float | None = None
    for_s: Annotated[float, msgspec.Meta(ge=0.0)] | None = None
    on: bool = True


class AlertSettings(_Section, frozen=True):
    """`[alerts]`: the rules, looked at every `every_s`; `false` switches one off.

    Rates are taken over `window_s`. `webhook` comes from WEIR_ALERTS_WEBHOOK or WEIR_ALERTS_WEBHOOK_FILE only.
    """

    every_s: float = 5.0
    window_s: float = 300.0
    webhook: str | None = None
    predictions_zero: AlertRule | bool = True
    labels_zero: AlertRule | bool = True
    loss_above_baseline: AlertRule | bool = True
    error_rate: AlertRule | bool = True
    lag_growing: AlertRule | bool = True
    checkpoint_overdue: AlertRule | bool = True
    dead_letters: AlertRule | bool = True
    freshness: AlertRule | bool = True
    importance_shift: AlertRule | bool = True

    def rule(self, name: str) -> AlertRule:
        """What is set for the rule of this name."""
        given: AlertRule | bool = getattr(self, name)
        return AlertRule(on=given) if isinstance(given, bool) else given


class Settings(_Section, frozen=True):
    """All settings. Every one has a default that works."""

    model: ModelSettings = ModelSettings()
    learner: LearnerSettings = LearnerSettings()
    events: EventSettings = EventSettings()
    schema: Schema = Schema()
    source: SourceSettings = SourceSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    deploy: DeploySettings = DeploySettings()
    shadows: ShadowSettings = ShadowSettings()
    http: HttpSettings = HttpSettings()
    progressive: ProgressiveSettings = ProgressiveSettings()
    importance: ImportanceSettings = ImportanceSettings()
    value: ValueSettings = ValueSettings()
    state: StateSettings = StateSettings()
    predictions: PredictionSettings = PredictionSettings()
    join: JoinSettings = JoinSettings()
    hooks: HookSettings = HookSettings()
    alerts: AlertSettings = AlertSettings()

    @property
    def dedupe_window(self) -> int:
        """Events back to which a repeated id is dropped: longer where another machine may repeat what one joined."""
        given = self.events.dedupe_window
        return given if given is not None else DEDUPE_JOINED if self.join.is_set else DEDUPE

    @property
    def learner_args(self) -> str:
        """The learner's arguments, or the default for the task. Raises ConfigError where there is none."""
        if self.learner.args is not None:
            return self.learner.args
        if self.learner.kind == "vw" and self.model.task in _DEFAULT_ARGS:
            return _DEFAULT_ARGS[self.model.task]
        example = '"--oaa 3"' if self.learner.kind == "vw" else '"linear_model.LogisticRegression()"'
        raise ConfigError(
            f"learner.args: required for {self.learner.kind} and task {self.model.task!r}, e.g. {example}"
        )
