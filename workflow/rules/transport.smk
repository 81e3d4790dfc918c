"""Heat transport: one system at one temperature per job, then the tables of all of them."""


rule transport:
    input:
        config=ancient(CAMPAIGN_FILE),
        files=campaign.transport.files(),
        model=[] if campaign.transport.potential else scanned_model(),
    output:
        table=results("shards", "transport", "{shard}.parquet"),
        correlation=results("shards", "transport", "{shard}.correlation.parquet"),
        spectrum=results("shards", "transport", "{shard}.spectrum.parquet"),
    log:
        results("logs", "transport", "{shard}.log"),
    benchmark:
        results("benchmarks", "transport", "{shard}.tsv")
    conda:
        "../../envs/cuda.yaml" if campaign.compute.device == "cuda" else "../../envs/cpu.yaml"
    threads: campaign.compute.threads
    resources:
        mem_mb=attempts(6000),
        runtime=attempts(720),
        gpu=1 if campaign.compute.device == "cuda" else 0,
    params:
        digest=campaign.section_digest("transport"),
        model=lambda wildcards, input: ["--model", folder(input.model)] if input.model else [],
        # Outside the declared outputs, which Snakemake removes before it repeats a job.
        trajectories=results("trajectories", "transport"),
    shell:
        "softatoms transport --config {input.config:q} --shard {wildcards.shard} {params.model:q}"
        " --trajectories {params.trajectories:q} --correlation-out {output.correlation:q}"
        " --spectrum-out {output.spectrum:q} --out {output.table:q} > {log:q} 2>&1"


rule transport_tables:
    input:
        config=ancient(CAMPAIGN_FILE),
        tables=transport_shards("{shard}.parquet"),
        correlations=transport_shards("{shard}.correlation.parquet"),
        spectra=transport_shards("{shard}.spectrum.parquet"),
    output:
        table=results("tables", "transport.parquet"),
        correlation=results("tables", "transport_correlation.parquet"),
        spectrum=results("tables", "transport_spectrum.parquet"),
    log:
        results("logs", "transport_tables.log"),
    benchmark:
        results("benchmarks", "transport_tables.tsv")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=attempts(2000),
        runtime=attempts(20),
    params:
        digest=campaign.section_digest("transport"),
    shell:
        "softatoms transport --config {input.config:q} --tables {input.tables:q}"
        " --correlations {input.correlations:q} --spectra {input.spectra:q}"
        " --correlation-out {output.correlation:q} --spectrum-out {output.spectrum:q}"
        " --out {output.table:q} > {log:q} 2>&1"
