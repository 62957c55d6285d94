"""One self-contained ``index.html``: what was swept, what won and how sure that is, curves, tables, diagnosis; no request to anywhere.

writing        the whole report of some runs: tables, figures, page, each put in place when it is complete
content        what the page says, as plain data
choosing       which study is meant, where its report goes and what it is called
facts          of what a report is made, in words: runs, environments, seeds, budgets
tables         its tables, as cells that sort
small_figures  the evidence of the doctor as tiny SVG, legible on light and dark ground
provenance     commands, versions and hosts that the runs came from
rendering      content and template → HTML
page.html, page.css, page.js   the template and what is inlined into it
"""
