"""The campaign of this run, and the helpers every rule file uses."""

import os
import sys

from snakemake.exceptions import WorkflowError
from softatoms.config import ConfigError, load_config

# The program beside this Python is found without an activated environment, in jobs too.
os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), *os.get_exec_path()]))


def campaign_file():
    """The one file that describes the campaign; the models, not Snakemake, read and check it."""
    files = [os.path.relpath(path) for path in workflow.configfiles] or ["config/config.yaml"]
    if len(files) > 1:
        raise WorkflowError(f"one --configfile describes a campaign, got {', '.join(files)}")
    if workflow.config_settings.config:
        raise WorkflowError(f"--config is not supported: write what should change to {files[0]}")
    return files[0]


def read_campaign(path):
    """The checked campaign; one line per problem if there are any."""
    try:
        return load_config(path)
    except ConfigError as error:
        raise WorkflowError(str(error)) from None


def results(*parts):
    """A path below the results of this campaign."""
    return os.path.join("results", campaign.campaign.name, *parts)


def attempts(first):
    """A resource that grows with every attempt: `first`, then twice and three times as much."""
    return lambda wildcards, attempt: first * attempt


def shard_tables(pattern):
    """The files of all shards of one table."""
    return [results(pattern.format(shard=shard)) for shard in range(campaign.n_shards())]


def figure_files(*suffixes):
    """The files of all figures of the campaign."""
    return [
        results("figures", f"{name}.{suffix}")
        for name in campaign.figure_names()
        for suffix in suffixes
    ]


def model_files():
    """The files of all trained models."""
    return [
        results(name, file)
        for name in campaign.training.names()
        for file in ("potential.json", "weights.safetensors")
    ]


def calibration_files():
    """The table about the spread of an ensemble, if there is one."""
    return [results("tables", "calibration.parquet")] if campaign.training.size > 1 else []


def checked_model():
    """The files of the model of the physics checks, if the campaign trains one."""
    if not campaign.training:
        return []
    return [results("model", file) for file in ("potential.json", "weights.safetensors")]


def folder(files):
    """The folder in which all of these files are."""
    return os.path.dirname(files[0])


def tables():
    """The tables of the campaign."""
    names = ["composition", "runs", *(["ranking"] if campaign.screening else [])]
    if campaign.training:
        names += ["evaluation", "training_history", "prediction", "force_prediction"]
        names += ["calibration"] if campaign.training.size > 1 else []
        names += ["learning_curve"] if campaign.training.learning_curve else []
    names += ["physics_checks"] if campaign.physics else []
    return [results("tables", f"{name}.parquet") for name in names]


def targets():
    """What a finished campaign consists of."""
    dataset = [results("tables", "dataset.parquet")] if campaign.dataset else []
    return [*tables(), *figure_files("png", "pdf"), results("report.html"), *dataset]


CAMPAIGN_FILE = campaign_file()
campaign = read_campaign(CAMPAIGN_FILE)
