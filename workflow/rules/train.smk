"""Training: one job for all models of an ensemble, which goes on where it was when it is repeated."""


rule train:
    input:
        **training_inputs(last_round()),
        config=ancient(CAMPAIGN_FILE),
    output:
        models=model_files(),
        evaluation=results("tables", "evaluation.parquet"),
        history=results("tables", "training_history.parquet"),
        prediction=results("tables", "prediction.parquet"),
        forces=results("tables", "force_prediction.parquet"),
        # Only an ensemble has a spread.
        calibration=calibration_files(),
    log:
        results("logs", "train.log"),
    benchmark:
        results("benchmarks", "train.tsv")
    conda:
        "../../envs/cuda.yaml" if campaign.compute.device == "cuda" else "../../envs/cpu.yaml"
    threads: campaign.compute.threads
    resources:
        mem_mb=attempts(8000),
        runtime=attempts(1440),
        gpu=1 if campaign.compute.device == "cuda" else 0,
    params:
        digest=training_digest(last_round()),
        options=lambda wildcards, input: training_options(last_round(), input),
        model=lambda wildcards, output: folder(output.models),
        tables=lambda wildcards, output: folder([output.evaluation]),
        # Outside the declared outputs, which Snakemake removes before it repeats a job.
        checkpoint=results("checkpoints", "training"),
    shell:
        "softatoms train --config {input.config:q} --frames {input.frames:q} {params.options:q}"
        " --out {params.model:q} --tables {params.tables:q} --checkpoint {params.checkpoint:q}"
        " > {log:q} 2>&1"
