"""Trainings on parts of the frames: one job, which goes on where it was when it is repeated."""


rule learning_curve:
    input:
        config=ancient(CAMPAIGN_FILE),
        frames=campaign.training.frames or results("dataset", "frames.parquet"),
    output:
        table=results("tables", "learning_curve.parquet"),
    log:
        results("logs", "learning_curve.log"),
    benchmark:
        results("benchmarks", "learning_curve.tsv")
    conda:
        "../../envs/cuda.yaml" if campaign.compute.device == "cuda" else "../../envs/cpu.yaml"
    threads: campaign.compute.threads
    resources:
        mem_mb=attempts(8000),
        runtime=attempts(1440),
        gpu=1 if campaign.compute.device == "cuda" else 0,
    params:
        digest=campaign.section_digest("learning_curve"),
        # Outside the declared outputs, which Snakemake removes before it repeats a job.
        checkpoint=results("checkpoints", "learning_curve"),
    shell:
        "softatoms learning-curve --config {input.config:q} --frames {input.frames:q}"
        " --checkpoint {params.checkpoint:q} --out {output.table:q} > {log:q} 2>&1"
