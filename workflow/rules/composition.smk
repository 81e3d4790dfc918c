"""Composition scans: a static manifest splits the compositions into shards, each shard is one job."""


rule manifest:
    input:
        config=ancient(CAMPAIGN_FILE),
    output:
        manifest=results("manifest.parquet"),
    log:
        results("logs", "manifest.log"),
    benchmark:
        results("benchmarks", "manifest.tsv")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=attempts(2000),
        runtime=attempts(10),
    params:
        digest=campaign.section_digest("composition"),
    shell:
        "softatoms manifest --config {input.config:q} --out {output.manifest:q} > {log:q} 2>&1"


rule scan:
    input:
        config=ancient(CAMPAIGN_FILE),
        manifest=rules.manifest.output.manifest,
        model=scanned_model(),
    output:
        table=results("shards", "composition", "{shard}.parquet"),
        runs=results("shards", "composition", "{shard}.runs.parquet"),
    log:
        results("logs", "scan", "{shard}.log"),
    benchmark:
        results("benchmarks", "scan", "{shard}.tsv")
    conda:
        "../../envs/cuda.yaml" if campaign.compute.device == "cuda" else "../../envs/cpu.yaml"
    threads: campaign.compute.threads
    resources:
        mem_mb=attempts(4000),
        runtime=attempts(60),
        gpu=1 if campaign.compute.device == "cuda" else 0,
    params:
        digest=campaign.section_digest("composition"),
        model=lambda wildcards, input: ["--model", folder(input.model)] if input.model else [],
        # Outside the declared outputs, which Snakemake removes before it repeats a job.
        checkpoint=lambda wildcards: results("checkpoints", "composition", wildcards.shard),
    shell:
        "softatoms scan --config {input.config:q} --manifest {input.manifest:q}"
        " --shard {wildcards.shard} {params.model:q} --checkpoint {params.checkpoint:q}"
        " --runs-out {output.runs:q} --out {output.table:q} > {log:q} 2>&1"
