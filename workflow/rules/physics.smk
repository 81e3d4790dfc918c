"""Physics checks: properties of crystals by the model of the campaign and what it is compared with."""


rule physics:
    input:
        config=ancient(CAMPAIGN_FILE),
        crystals=campaign.physics.files(),
        model=checked_model(),
    output:
        table=results("tables", "physics_checks.parquet"),
    log:
        results("logs", "physics.log"),
    benchmark:
        results("benchmarks", "physics.tsv")
    conda:
        "../../envs/cuda.yaml" if campaign.compute.device == "cuda" else "../../envs/cpu.yaml"
    threads: campaign.compute.threads
    resources:
        mem_mb=attempts(8000),
        runtime=attempts(240),
        gpu=1 if campaign.compute.device == "cuda" else 0,
    params:
        digest=campaign.section_digest("physics"),
        model=lambda wildcards, input: ["--model", folder(input.model)] if input.model else [],
    shell:
        "softatoms physics --config {input.config:q} {params.model:q} --out {output.table:q}"
        " > {log:q} 2>&1"
