"""From the files of the shards to the tables of the campaign."""


rule collect_composition:
    input:
        config=ancient(CAMPAIGN_FILE),
        manifest=rules.manifest.output.manifest,
        tables=shard_tables("shards/composition/{shard}.parquet"),
    output:
        table=results("tables", "composition.parquet"),
    log:
        results("logs", "collect_composition.log"),
    benchmark:
        results("benchmarks", "collect_composition.tsv")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=attempts(2000),
        runtime=attempts(20),
    shell:
        "softatoms collect --config {input.config:q} --manifest {input.manifest:q}"
        " --table composition --tables {input.tables:q} --out {output.table:q} > {log:q} 2>&1"


rule collect_runs:
    input:
        config=ancient(CAMPAIGN_FILE),
        manifest=rules.manifest.output.manifest,
        tables=shard_tables("shards/composition/{shard}.runs.parquet"),
    output:
        table=results("tables", "runs.parquet"),
    log:
        results("logs", "collect_runs.log"),
    benchmark:
        results("benchmarks", "collect_runs.tsv")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=attempts(2000),
        runtime=attempts(20),
    shell:
        "softatoms collect --config {input.config:q} --manifest {input.manifest:q}"
        " --table runs --tables {input.tables:q} --out {output.table:q} > {log:q} 2>&1"


rule rank:
    input:
        config=ancient(CAMPAIGN_FILE),
        composition=rules.collect_composition.output.table,
    output:
        ranking=results("tables", "ranking.parquet"),
    log:
        results("logs", "rank.log"),
    benchmark:
        results("benchmarks", "rank.tsv")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=attempts(2000),
        runtime=attempts(20),
    params:
        digest=campaign.section_digest("screening"),
    shell:
        "softatoms rank --config {input.config:q} --table {input.composition:q}"
        " --out {output.ranking:q} > {log:q} 2>&1"
