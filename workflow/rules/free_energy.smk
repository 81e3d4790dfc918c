"""Free energies: all replicas of a few temperatures per job, then the tables of all of them."""


rule free_energy:
    input:
        config=ancient(CAMPAIGN_FILE),
        files=campaign.free_energies.files(),
        model=scanned_model(),
    output:
        table=results("shards", "free_energy", "{shard}.parquet"),
        works=results("shards", "free_energy", "{shard}.works.parquet"),
        profile=results("shards", "free_energy", "{shard}.profile.parquet"),
    log:
        results("logs", "free_energy", "{shard}.log"),
    benchmark:
        results("benchmarks", "free_energy", "{shard}.tsv")
    conda:
        "../../envs/cuda.yaml" if campaign.compute.device == "cuda" else "../../envs/cpu.yaml"
    threads: campaign.compute.threads
    resources:
        mem_mb=attempts(8000),
        runtime=attempts(1440),
        gpu=1 if campaign.compute.device == "cuda" else 0,
    params:
        digest=campaign.section_digest("free_energies"),
        model=lambda wildcards, input: ["--model", folder(input.model)] if input.model else [],
        # Outside the declared outputs, which Snakemake removes before it repeats a job.
        checkpoint=results("checkpoints", "free_energy"),
    shell:
        "softatoms free-energy --config {input.config:q} --shard {wildcards.shard} {params.model:q}"
        " --checkpoint {params.checkpoint:q} --works-out {output.works:q}"
        " --profile-out {output.profile:q} --out {output.table:q} > {log:q} 2>&1"


rule free_energy_tables:
    input:
        config=ancient(CAMPAIGN_FILE),
        tables=free_energy_shards("{shard}.parquet"),
        works=free_energy_shards("{shard}.works.parquet"),
        profiles=free_energy_shards("{shard}.profile.parquet"),
    output:
        table=results("tables", "free_energy.parquet"),
        works=results("tables", "works.parquet"),
        profile=results("tables", "switching_profile.parquet"),
        stability=(
            [results("tables", "phase_stability.parquet")]
            if campaign.free_energies.stability
            else []
        ),
    log:
        results("logs", "free_energy_tables.log"),
    benchmark:
        results("benchmarks", "free_energy_tables.tsv")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=attempts(2000),
        runtime=attempts(20),
    params:
        digest=campaign.section_digest("free_energies"),
        stability=lambda wildcards, output: (
            ["--stability-out", output.stability] if output.stability else []
        ),
    shell:
        "softatoms free-energy --config {input.config:q} --tables {input.tables:q}"
        " --works {input.works:q} --profiles {input.profiles:q} --works-out {output.works:q}"
        " --profile-out {output.profile:q} {params.stability:q} --out {output.table:q}"
        " > {log:q} 2>&1"
