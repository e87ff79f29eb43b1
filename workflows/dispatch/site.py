"""The files of a site: one fworker and one qadapter a stage, checked field by field before any becomes a script.

A field of a queue script is text that a shell and the scheduler read. Nothing is quoted and nothing is escaped here:
what is not plainly a partition, a time or a path is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from genmat.errors import SettingsError
from genmat.settings import config_file
from workflows.dispatch.stages import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from genmat.settings import Settings


def _matching(pattern: str, what: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            msg = f"got {value!r}, expected {what}"
            raise ValueError(msg)
        return value

    return check


Name = Annotated[
    str, AfterValidator(_matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "letters, digits, '.', '_' and '-' only"))
]
Walltime = Annotated[
    str, AfterValidator(_matching(r"(\d{1,3}-)?\d{1,3}:[0-5]\d:[0-5]\d", "a time as in 24:00:00 or 2-00:00:00"))
]
Constraint = Annotated[
    str, AfterValidator(_matching(r"[A-Za-z0-9][A-Za-z0-9_.,:=-]{0,127}", "a feature such as a100 or gpu:2"))
]
Memory = Annotated[str, AfterValidator(_matching(r"\d+[KMGT]?", "a size as in 16G"))]
SafePath = Annotated[
    str, AfterValidator(_matching(r"/[A-Za-z0-9_./+@=-]*", "an absolute path of letters, digits and . _ + @ = - /"))
]
Select = Annotated[
    str,
    AfterValidator(
        _matching(r"\d{1,4}(:[a-z_]+=[A-Za-z0-9_.-]+)*", "a request as in 1:ncpus=4:ngpus=1, without + and spaces")
    ),
]
Command = Annotated[
    str,
    AfterValidator(
        _matching(r"[A-Za-z0-9_./][A-Za-z0-9_./+@=-]*( [A-Za-z0-9_./+@=,-]+)*", "a command without shell syntax")
    ),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Packing(_Strict):
    """How much work goes into one queue job, and how many of them there may be."""

    max_queue_jobs: int = Field(default=4, ge=1, le=1000, description="Queue jobs of the stage at once")
    jobs_per_queue_job: int = Field(default=8, ge=1, description="Waiting jobs for which one queue job is asked")
    processes: int = Field(default=1, ge=1, le=1024, description="Workers in one queue job: one a GPU")
    idle: float = Field(default=60.0, ge=0, description="How long a worker waits for work before it ends, s")


class StageConfig(_Strict):
    """The queue adapter of a stage, in FireWorks' own words."""

    q_type: Literal["SLURM", "PBS"] = Field(alias="_fw_q_type", description="Kind of scheduler")
    fw_name: Literal["CommonAdapter"] = Field(default="CommonAdapter", alias="_fw_name", description="FireWorks' class")
    packing: Packing = Field(default=Packing(), alias="_genmat", description="Read by genmat, not by FireWorks")
    queue: Name = Field(description="Partition or queue")
    walltime: Walltime = Field(description="Longest time of a queue job")
    rocket_launch: Command = Field(description="Command that starts a worker; what it must know is appended")
    nodes: int | None = Field(default=None, ge=1, description="Nodes (SLURM)")
    ntasks: int | None = Field(default=None, ge=1, description="Tasks (SLURM)")
    cpus_per_task: int | None = Field(default=None, ge=1, description="Cores of a worker (SLURM)")
    gres: Constraint | None = Field(default=None, description="Generic resources, such as gpu:1 (SLURM)")
    mem: Memory | None = Field(default=None, description="Memory of a node (SLURM)")
    qos: Name | None = Field(default=None, description="Quality of service (SLURM)")
    constraint: Constraint | None = Field(default=None, description="Features of the node (SLURM)")
    select: Select | None = Field(default=None, description="Cores, GPUs and memory of the node (PBS)")
    template: SafePath | None = Field(
        default=None, alias="_fw_template_file", description="Frame of the script; default: that of FireWorks"
    )
    account: Name | None = Field(default=None, description="Account that pays")
    environment: SafePath | None = Field(
        default=None, alias="_environment", description="Shell script that is sourced first: modules, variables"
    )

    @property
    def seconds(self) -> float:
        """Time after which a worker takes no further job, s: the walltime less a tenth, at most ten minutes less."""
        days, _, clock = self.walltime.rpartition("-")
        hours, minutes, seconds = map(int, clock.split(":"))
        total = 86_400 * int(days or 0) + 3600 * hours + 60 * minutes + seconds
        return total - min(600.0, total / 10)

    @property
    def cores(self) -> int | None:
        """Cores of a queue job."""
        asked = re.search(r":ncpus=(\d+)", self.select or "")
        return int(asked[1]) if asked else self.cpus_per_task

    def script(self, *, stage: Stage, name: str, folder: Path) -> str:
        """Return the queue script of one job, as FireWorks' template has it.

        Parameters
        ----------
        stage
            Stage of the jobs.
        name
            Name of the queue job.
        folder
            Where it runs.

        Raises
        ------
        SettingsError
            If the folder's name is not safe in a script.
        """
        from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter

        place = check_safe_path(folder)
        fields = self.model_dump(exclude_none=True, exclude={"q_type", "fw_name", "packing", "environment", "template"})
        fields["rocket_launch"] = (
            f"{self.rocket_launch} --stage {stage} --queue-job {name} --seconds {self.seconds:g} "
            f"--idle {self.packing.idle:g} --processes {self.packing.processes}"
        )
        if self.cores is not None:
            fields["rocket_launch"] += f" --cores {max(1, self.cores // self.packing.processes)}"
        if self.environment is not None:
            fields["pre_rocket"] = f"source {self.environment}"
        adapter = CommonAdapter(self.q_type, template_file=self.template, job_name=name, **fields)
        return str(adapter.get_script_str(place))


class Site(_Strict):
    """Everything that a site's folder says."""

    folder: Path
    stages: dict[Stage, StageConfig]

    @property
    def scheduler(self) -> str:
        """Kind of scheduler: ``slurm`` or ``pbs``."""
        return next(iter(self.stages.values())).q_type.lower()


def check_safe_path(path: Path) -> str:
    """Return a path that a queue script may name.

    Raises
    ------
    SettingsError
        If it holds anything that a shell could read otherwise.
    """
    try:
        return _matching(r"/[A-Za-z0-9_./+@=-]*", "letters, digits and . _ + @ = - / only")(str(path))
    except ValueError as err:
        msg = f"folder of queue jobs: {err}; set GENMAT_DATA_FOLDER to a folder with a plain name"
        raise SettingsError(msg) from None


def site_folder(settings: Settings) -> Path:
    """Return where a site's files are: the setting ``site``, else beside the configuration file."""
    return settings.site or config_file().parent / "fw_configs"


def load_site(folder: Path) -> Site:
    """Read and check the files of a site.

    Raises
    ------
    SettingsError
        If one is missing or a field of it is not what it must be: file, field, value, what is allowed.
    """
    stages = {}
    for stage in Stage:
        path = folder / f"my_qadapter_{stage}.yaml"
        try:
            stages[stage] = StageConfig.model_validate(_read(path))
            template = stages[stage].template
            if template is not None and not Path(template).is_file():
                msg = f"{path}: _fw_template_file: {template} does not exist; genmat init --queue pbs writes one"
                raise SettingsError(msg)
        except ValidationError as err:
            first = err.errors(include_url=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"]))
            msg = f"{path}: {place}: {first['msg'].removeprefix('Value error, ')}"
            raise SettingsError(msg) from None
    if len({config.q_type for config in stages.values()}) > 1:
        msg = f"{folder}: the stages name different schedulers (_fw_q_type), expected one"
        raise SettingsError(msg)
    return Site(folder=folder, stages=stages)


def _read(path: Path) -> Mapping[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        loaded = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"{path} does not exist: write it with genmat init --queue slurm, or name a folder with GENMAT_SITE"
        raise SettingsError(msg) from None
    except (OSError, UnicodeDecodeError, YAMLError) as err:
        msg = f"{path} cannot be read: {' '.join(str(err).split())}"
        raise SettingsError(msg) from err
    if not isinstance(loaded, dict):
        msg = f"{path}: expected a mapping with queue, walltime, …"
        raise SettingsError(msg)
    return loaded
