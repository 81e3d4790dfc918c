"""Figures and the report page, from the tables alone."""


rule figures:
    input:
        config=ancient(CAMPAIGN_FILE),
        tables=tables(),
        control=campaign.figures.control or [],
    output:
        png=[
            report(
                results("figures", f"{name}.png"),
                caption=f"../report/{name}.rst",
                category="Figures",
                labels={"figure": name},
            )
            for name in campaign.figure_names()
        ],
        pdf=figure_files("pdf"),
    log:
        results("logs", "figures.log"),
    benchmark:
        results("benchmarks", "figures.tsv")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=attempts(2000),
        runtime=attempts(20),
    params:
        digest=campaign.section_digest("figures"),
        tables=lambda wildcards, input: folder(input.tables),
        out=lambda wildcards, output: folder(output),
    shell:
        "softatoms figures --config {input.config:q} --tables {params.tables:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule report:
    input:
        config=ancient(CAMPAIGN_FILE),
        tables=tables(),
        figures=figure_files("png"),
    output:
        page=report(
            results("report.html"),
            caption="../report/page.rst",
            category="Summary",
            labels={"page": "report"},
        ),
    log:
        results("logs", "report.log"),
    benchmark:
        results("benchmarks", "report.tsv")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=attempts(2000),
        runtime=attempts(20),
    params:
        digest=campaign.section_digest("report"),
        tables=lambda wildcards, input: folder(input.tables),
        figures=lambda wildcards, output: os.path.join(folder(output), "figures"),
    shell:
        "softatoms report --config {input.config:q} --tables {params.tables:q}"
        " --figures {params.figures:q} --out {output.page:q} > {log:q} 2>&1"
