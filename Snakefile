"""The whole campaign: `snakemake --cores all`, or `snakemake --profile slurm` on a cluster.

Another campaign: `--configfile config/screening/alloys.yaml`. Results go to `results/<campaign>/`.
"""

from snakemake.utils import min_version

min_version("9.8")


include: "workflow/rules/common.smk"


wildcard_constraints:
    shard=r"\d+",
    round=r"\d+",
    search=r"[a-z0-9][a-z0-9_-]*",


report: "workflow/report/campaign.rst"


localrules:
    all,


rule all:
    default_target: True
    input:
        targets(),


include: "workflow/rules/figures.smk"


if campaign.composition:

    include: "workflow/rules/composition.smk"
    include: "workflow/rules/collect.smk"


if campaign.optimisation:

    include: "workflow/rules/optimise.smk"


if campaign.dataset:

    include: "workflow/rules/dataset.smk"


if campaign.training:

    include: "workflow/rules/train.smk"


if campaign.active_learning:

    include: "workflow/rules/active_learning.smk"


if campaign.physics:

    include: "workflow/rules/physics.smk"


if campaign.order:

    include: "workflow/rules/order.smk"


if campaign.free_energies:

    include: "workflow/rules/free_energy.smk"


if campaign.transport:

    include: "workflow/rules/transport.smk"


if campaign.training and campaign.training.learning_curve:

    include: "workflow/rules/learning_curve.smk"


onsuccess:
    print(f"Results: {results()}")
