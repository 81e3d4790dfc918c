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


def order_shards(pattern):
    """The files of all jobs of order and disorder."""
    shards = range(campaign.order.n_shards())
    return [results("shards", "order", pattern.format(shard=shard)) for shard in shards]


def free_energy_shards(pattern):
    """The files of all jobs of free energies."""
    shards = range(campaign.free_energies.n_shards())
    return [results("shards", "free_energy", pattern.format(shard=shard)) for shard in shards]


def transport_shards(pattern):
    """The files of all jobs of heat transport."""
    shards = range(len(campaign.transport.runs()))
    return [results("shards", "transport", pattern.format(shard=shard)) for shard in shards]


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


def scanned_model():
    """The files of the potential of the scans, if the campaign trains it."""
    return checked_model() if campaign.potential.is_trained else []


def checked_model():
    """The files of the model of the physics checks, if the campaign trains one."""
    if not campaign.training:
        return []
    return [results("model", file) for file in ("potential.json", "weights.safetensors")]


def optimisation_shards(ending):
    """The files of all searches of one table."""
    return [
        results("shards", "optimisation", f"{search}{ending}.parquet")
        for search in campaign.optimisation.names()
    ]


def calibration_files():
    """The table about the spread of an ensemble, if there is one."""
    return [results("tables", "calibration.parquet")] if campaign.training.size > 1 else []


def folder(files):
    """The folder in which all of these files are."""
    return os.path.dirname(files[0])


def round_file(round, *parts):
    """A file of one round of active learning."""
    return results("active_learning", str(round), *parts)


def frames_of_round(round):
    """The frames that the models of a round are trained on."""
    return round_file(round, "frames.parquet") if round else results("dataset", "frames.parquet")


def models_of_round(round):
    """The files of the models of a round; those of the last one are the models of the campaign."""
    if round == campaign.active_learning.rounds:
        return model_files()
    return [
        round_file(round, name, file)
        for name in campaign.training.names()
        for file in ("potential.json", "weights.safetensors")
    ]


def evaluation_of_round(round):
    """The errors of the models of a round."""
    if round == campaign.active_learning.rounds:
        return results("tables", "evaluation.parquet")
    return round_file(round, "tables", "evaluation.parquet")


def training_inputs(round):
    """What the models of a round are made from; of a campaign without rounds if it is None."""
    if round is None:
        return {"frames": campaign.training.frames or results("dataset", "frames.parquet")}
    goes_on = round > 0 and campaign.active_learning.start == "previous"
    start = {"start": models_of_round(round - 1)} if goes_on else {}
    return {"frames": frames_of_round(round), **start}


def training_options(round, input):
    """Options of the command that trains the models of a round."""
    if round is None:
        return []
    start = ["--start", folder(input.start)] if "start" in input.keys() else []
    return ["--round", str(round), *start]


def training_digest(round):
    """Fingerprint of what the training of a round depends on."""
    return campaign.section_digest("active_learning" if round else "training")


def last_round():
    """Number of the last round of active learning, None without any."""
    return campaign.active_learning.rounds if campaign.active_learning else None


def tables():
    """The tables of the campaign."""
    names = ["composition", "runs"] if campaign.composition else []
    names += ["ranking"] if campaign.screening else []
    if campaign.training:
        names += ["evaluation", "training_history", "prediction", "force_prediction"]
        names += ["calibration"] if campaign.training.size > 1 else []
        names += ["learning_curve"] if campaign.training.learning_curve else []
    names += ["active_learning", "exploration"] if campaign.active_learning else []
    names += ["physics_checks"] if campaign.physics else []
    names += ["optimisation", "optimisation_path"] if campaign.optimisation else []
    if campaign.transport:
        names += ["transport", "transport_correlation", "transport_spectrum"]
    if campaign.order:
        names += ["order", "order_summary"]
        names += ["order_roc"] if campaign.order.is_compared() else []
    if campaign.free_energies:
        names += ["free_energy", "works", "switching_profile"]
        names += ["phase_stability"] if campaign.free_energies.stability else []
    return [results("tables", f"{name}.parquet") for name in names]


def targets():
    """What a finished campaign consists of."""
    dataset = [results("tables", "dataset.parquet")] if campaign.dataset else []
    pages = [*figure_files("png", "pdf"), results("report.html")] if tables() else []
    return [*tables(), *pages, *dataset]


CAMPAIGN_FILE = campaign_file()
campaign = read_campaign(CAMPAIGN_FILE)
