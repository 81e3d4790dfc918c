"""Labelled structures: planned once, labelled in jobs, joined and checked."""


rule dataset_frames:
    input:
        config=ancient(CAMPAIGN_FILE),
        imports=campaign.dataset.files(),
    output:
        frames=results("dataset", "planned.parquet"),
        skipped=results("dataset", "skipped.parquet"),
    log:
        results("logs", "dataset_frames.log"),
    benchmark:
        results("benchmarks", "dataset_frames.tsv")
    conda:
        "../../envs/cuda.yaml" if campaign.compute.device == "cuda" else "../../envs/cpu.yaml"
    threads: campaign.compute.threads
    resources:
        mem_mb=attempts(4000),
        runtime=attempts(60),
        # Generators that run dynamics evaluate the potential.
        gpu=1 if campaign.compute.device == "cuda" else 0,
    params:
        digest=campaign.section_digest("dataset"),
    shell:
        "softatoms dataset --step generate --config {input.config:q} --out {output.frames:q}"
        " --skipped {output.skipped:q} > {log:q} 2>&1"


rule dataset_labels:
    input:
        config=ancient(CAMPAIGN_FILE),
        frames=rules.dataset_frames.output.frames,
    output:
        labels=results("dataset", "labels", "{shard}.parquet"),
    log:
        results("logs", "dataset_labels", "{shard}.log"),
    benchmark:
        results("benchmarks", "dataset_labels", "{shard}.tsv")
    conda:
        "../../envs/cuda.yaml" if campaign.compute.device == "cuda" else "../../envs/cpu.yaml"
    threads: campaign.compute.threads
    resources:
        mem_mb=attempts(4000),
        runtime=attempts(240),
        gpu=1 if campaign.compute.device == "cuda" else 0,
    params:
        digest=campaign.section_digest("dataset"),
        # Outside the declared outputs, which Snakemake removes before it repeats a job.
        # Jobs share it, so that another number of jobs finds the labels that exist.
        checkpoint=results("checkpoints", "dataset"),
    shell:
        "softatoms dataset --step label --config {input.config:q} --frames {input.frames:q}"
        " --shard {wildcards.shard} --checkpoint {params.checkpoint:q} --out {output.labels:q}"
        " > {log:q} 2>&1"


rule dataset:
    input:
        config=ancient(CAMPAIGN_FILE),
        frames=rules.dataset_frames.output.frames,
        skipped=rules.dataset_frames.output.skipped,
        labels=[
            results("dataset", "labels", f"{shard}.parquet")
            for shard in range(campaign.dataset.labels.jobs)
        ],
    output:
        frames=results("dataset", "frames.parquet"),
        table=results("tables", "dataset.parquet"),
        extxyz=results("dataset", "frames.xyz"),
    log:
        results("logs", "dataset.log"),
    benchmark:
        results("benchmarks", "dataset.tsv")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=attempts(4000),
        runtime=attempts(60),
    params:
        digest=campaign.section_digest("dataset"),
    shell:
        "softatoms dataset --step merge --config {input.config:q} --frames {input.frames:q}"
        " --skipped {input.skipped:q} --labels {input.labels:q} --out {output.frames:q}"
        " --table {output.table:q} --extxyz {output.extxyz:q} > {log:q} 2>&1"
