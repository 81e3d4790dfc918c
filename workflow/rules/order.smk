"""Order and disorder: a few compounds per job, then the tables of all of them."""


rule order:
    input:
        config=ancient(CAMPAIGN_FILE),
        files=campaign.order.files(),
        model=scanned_model(),
    output:
        table=results("shards", "order", "{shard}.parquet"),
        summary=results("shards", "order", "{shard}.summary.parquet"),
    log:
        results("logs", "order", "{shard}.log"),
    benchmark:
        results("benchmarks", "order", "{shard}.tsv")
    conda:
        "../../envs/cuda.yaml" if campaign.compute.device == "cuda" else "../../envs/cpu.yaml"
    threads: campaign.compute.threads
    resources:
        mem_mb=attempts(6000),
        runtime=attempts(120),
        gpu=1 if campaign.compute.device == "cuda" else 0,
    params:
        digest=campaign.section_digest("order"),
        model=lambda wildcards, input: ["--model", folder(input.model)] if input.model else [],
        # Outside the declared outputs, which Snakemake removes before it repeats a job.
        checkpoint=results("checkpoints", "order"),
    shell:
        "softatoms order --config {input.config:q} --shard {wildcards.shard} {params.model:q}"
        " --checkpoint {params.checkpoint:q} --summary-out {output.summary:q}"
        " --out {output.table:q} > {log:q} 2>&1"


rule order_tables:
    input:
        config=ancient(CAMPAIGN_FILE),
        tables=order_shards("{shard}.parquet"),
        summaries=order_shards("{shard}.summary.parquet"),
    output:
        table=results("tables", "order.parquet"),
        summary=results("tables", "order_summary.parquet"),
        roc=[results("tables", "order_roc.parquet")] if campaign.order.is_compared() else [],
    log:
        results("logs", "order_tables.log"),
    benchmark:
        results("benchmarks", "order_tables.tsv")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=attempts(2000),
        runtime=attempts(20),
    params:
        digest=campaign.section_digest("order"),
        roc=lambda wildcards, output: ["--roc-out", output.roc] if output.roc else [],
    shell:
        "softatoms order --config {input.config:q} --tables {input.tables:q}"
        " --summaries {input.summaries:q} --summary-out {output.summary:q} {params.roc:q}"
        " --out {output.table:q} > {log:q} 2>&1"
