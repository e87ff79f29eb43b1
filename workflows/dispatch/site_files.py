"""Write the files of a site: what FireWorks calls FW_config, launchpad, fworker and qadapter, one pair a stage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from genmat.errors import InputError
from workflows.dispatch.site import StageConfig
from workflows.dispatch.stages import Stage


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """What ``genmat init --queue`` was told.

    Parameters
    ----------
    queue
        ``slurm`` or ``pbs``.
    gpu_partition, cpu_partition
        Partition (SLURM) or queue (PBS) of the two kinds of nodes; bookkeeping runs on CPU nodes.
    account
        Who pays, if the site wants to know.
    walltime
        Longest time of GPU and CPU jobs.
    gpus
        GPUs of a queue job, one worker each; 0 where the potential runs on CPUs.
    cores
        Cores of a worker.
    environment
        Shell script that is sourced first: modules, variables.
    command
        Command that starts genmat on a node.
    folder
        Where the files go; the qadapters of PBS name their frame in it.
    """

    queue: str
    gpu_partition: str
    cpu_partition: str
    account: str | None = None
    walltime: str = "12:00:00"
    gpus: int = 1
    cores: int = 4
    environment: Path | None = None
    command: str = "genmat"
    folder: Path = Path("/path/to/fw_configs")


_INTRODUCTIONS = {
    Stage.GPU: "Generation and screening: several chunks in one queue job, one worker a GPU.",
    Stage.CPU: "First-principles work: many small jobs in one queue job.",
    Stage.CONTROL: "Bookkeeping: decides what comes next; short, one core.",
}
_COMMENTS = {
    "queue": "partition or queue",
    "account": "who pays",
    "walltime": "a worker takes no job in the last tenth of it; a job that is cut off goes on from what it had done",
    "rocket_launch": "starts a worker; the stage, the queue job and the limits are appended",
    "gres": "the GPUs of the queue job",
    "cpus_per_task": "cores of a worker",
    "select": "one node with these cores and GPUs; memory: append :mem=64gb",
    "_fw_template_file": "frame of the script: FireWorks' own has no select",
    "_environment": "sourced first",
    "_genmat": "read by genmat dispatch, not by FireWorks",
    "max_queue_jobs": "queue jobs of this stage at once",
    "jobs_per_queue_job": "waiting jobs for which one queue job is asked",
    "processes": "workers in a queue job",
    "idle": "how long a worker waits for work, s",
}


def site_files(options: SiteOptions) -> dict[str, str]:
    """Return the files of a site by name.

    Raises
    ------
    InputError
        If a field could be read by a shell as anything but what it is meant to be.
    """
    files = {
        "FW_config.yaml": _FW_CONFIG,
        "my_launchpad.yaml": _LAUNCHPAD,
        "jobflow.yaml": _JOBFLOW,
        "atomate2.yaml": _ATOMATE2,
    }
    if options.queue == "pbs":
        files[PBS_TEMPLATE] = _PBS_TEMPLATE
    for stage in Stage:
        files[f"my_fworker_{stage}.yaml"] = _fworker(stage)
        files[f"my_qadapter_{stage}.yaml"] = _qadapter(stage, options)
    return files


def _fworker(stage: Stage) -> str:
    return (
        f"# {_INTRODUCTIONS[stage]}\n"
        f"name: {stage}\n"
        f"category: {stage}    # without a category a worker would take every job\n"
        "query: '{}'      # genmat work adds the campaigns that are paused or at their limits\n"
    )


def _qadapter(stage: Stage, options: SiteOptions) -> str:
    slurm = options.queue == "slurm"
    cores = 1 if stage is Stage.CONTROL else options.cores
    processes = max(1, options.gpus) if stage is Stage.GPU else 1
    total = cores * processes
    fields: dict[str, Any] = {
        "_fw_name": "CommonAdapter",
        "_fw_q_type": "SLURM" if slurm else "PBS",
        "queue": options.gpu_partition if stage is Stage.GPU else options.cpu_partition,
        "account": options.account,
        "walltime": "02:00:00" if stage is Stage.CONTROL else options.walltime,
        "rocket_launch": f"{options.command} work",
    }
    gpus = options.gpus if stage is Stage.GPU else 0
    if slurm:
        fields |= {"nodes": 1, "ntasks": 1, "cpus_per_task": total, "gres": f"gpu:{gpus}" if gpus else None}
    else:
        fields["_fw_template_file"] = str(options.folder / PBS_TEMPLATE)
        fields["select"] = f"1:ncpus={total}" + (f":ngpus={gpus}" if gpus else "")
    if options.environment is not None:
        fields["_environment"] = str(options.environment)
    fields["_genmat"] = {
        "max_queue_jobs": 1 if stage is Stage.CONTROL else 4,
        "jobs_per_queue_job": 8,
        "processes": processes,
        "idle": 60,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    try:
        StageConfig.model_validate(fields)
    except ValidationError as err:
        first = err.errors(include_url=False, include_context=False)[0]
        said = re.sub(r"^Value error, ", "", first["msg"])
        msg = f"{first['loc'][0]} of the {stage} stage: {said}"
        raise InputError(msg) from None
    return f"# {_INTRODUCTIONS[stage]}\n" + "".join(_lines(fields, indent=0))


def _lines(fields: dict[str, Any], *, indent: int) -> list[str]:
    lines = []
    for name, value in fields.items():
        comment = f"    # {_COMMENTS[name]}" if name in _COMMENTS else ""
        if isinstance(value, dict):
            lines += [f"{' ' * indent}{name}:{comment}\n", *_lines(value, indent=indent + 2)]
        else:
            # A time as in 12:00:00 is a number of base 60 to older YAML.
            text = f"'{value}'" if isinstance(value, str) and not value.replace("_", "").isalpha() else value
            lines.append(f"{' ' * indent}{name}: {text}{comment}\n")
    return lines


PBS_TEMPLATE = "pbs_template.txt"
_PBS_TEMPLATE = """\
#!/bin/bash

#PBS -N $${job_name}
#PBS -q $${queue}
#PBS -A $${account}
#PBS -l select=$${select}
#PBS -l walltime=$${walltime}
#PBS -j oe
#PBS -o FW_job.out

$${pre_rocket}
cd $${launch_dir}
$${rocket_launch}
$${post_rocket}

# CommonAdapter (PBS) completed writing Template
"""
"""PBS Professional's request of resources, for FireWorks' CommonAdapter; lines of absent fields are left out."""

_FW_CONFIG = """\
# FireWorks itself, for its own commands (lpad, rlaunch). FireWorks reads a FW_config.yaml of the current folder first.
SORT_FWS: FIFO               # of equal priority, the oldest first
PING_TIME_SECS: 60           # sign of life of a job; genmat's workers have one of their own
RUN_EXPIRATION_SECS: 600     # genmat reconcile asks the scheduler instead
QUEUE_UPDATE_INTERVAL: 1     # seconds after each submission
WFLOCK_EXPIRATION_SECS: 60   # how long a job waits for a workflow that another process changes
PRINT_FW_JSON: false         # no copy of the job's description in its folder
"""

_LAUNCHPAD = """\
# For FireWorks' own commands, such as: lpad -l my_launchpad.yaml get_wflows. genmat does not read this file: it takes
# the database from database_uri in its config.yaml. If you write an address with a password here: chmod 600.
host: localhost
port: 27017
name: genmat
username: null
password: null
authsource: null
# TLS: mongoclient_kwargs: {tls: true, tlsCAFile: /etc/ssl/certs/ca.pem}
mongoclient_kwargs: {}
strm_lvl: WARNING
"""

_JOBFLOW = """\
# For FireWorks' own rlaunch (JOBFLOW_CONFIG_FILE names this file); genmat work uses the store of its own database, and
# no specification of a job ever names a store: it would carry the password.
JOB_STORE:
  docs_store:
    type: MongoStore
    database: genmat
    collection_name: outputs
    host: localhost
    port: 27017
"""

_ATOMATE2 = """\
# Read by atomate2 on the nodes (ATOMATE2_CONFIG_FILE names this file).
VASP_CMD: vasp_std             # command of VASP, with srun or mpirun where it needs one
VASP_GAMMA_CMD: vasp_gam
"""
