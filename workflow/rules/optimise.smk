"""Optimisations: one job per search with all its starts, joined to the tables of the campaign."""


rule optimise:
    input:
        config=ancient(CAMPAIGN_FILE),
        crystals=campaign.optimisation.files(),
        model=scanned_model(),
    output:
        table=results("shards", "optimisation", "{search}.parquet"),
        path=results("shards", "optimisation", "{search}.path.parquet"),
    log:
        results("logs", "optimise", "{search}.log"),
    benchmark:
        results("benchmarks", "optimise", "{search}.tsv")
    conda:
        "../../envs/cuda.yaml" if campaign.compute.device == "cuda" else "../../envs/cpu.yaml"
    threads: campaign.compute.threads
    resources:
        mem_mb=attempts(8000),
        runtime=attempts(240),
        gpu=1 if campaign.compute.device == "cuda" else 0,
    params:
        digest=campaign.section_digest("optimisation"),
        model=lambda wildcards, input: ["--model", folder(input.model)] if input.model else [],
        # Outside the declared outputs, which Snakemake removes before it repeats a job.
        checkpoint=lambda wildcards: results("checkpoints", "optimisation"),
    shell:
        "softatoms optimize --config {input.config:q} --search {wildcards.search:q}"
        " {params.model:q} --checkpoint {params.checkpoint:q} --path-out {output.path:q}"
        " --out {output.table:q} > {log:q} 2>&1"


rule collect_optimisation:
    input:
        config=ancient(CAMPAIGN_FILE),
        crystals=campaign.optimisation.files(),
        tables=optimisation_shards(""),
        paths=optimisation_shards(".path"),
    output:
        table=results("tables", "optimisation.parquet"),
        path=results("tables", "optimisation_path.parquet"),
    log:
        results("logs", "collect_optimisation.log"),
    benchmark:
        results("benchmarks", "collect_optimisation.tsv")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=attempts(2000),
        runtime=attempts(20),
    shell:
        "softatoms optimize --config {input.config:q} --merge {input.tables:q}"
        " --merge-paths {input.paths:q} --path-out {output.path:q} --out {output.table:q}"
        " > {log:q} 2>&1"
