"""How many evaluations a second searches of NAS-Bench-201 go through."""

from __future__ import annotations

from benchmarks.timing.measuring import prepare, show
from benchmarks.timing.options import SpeedOptions
from search.evolution import rates


def measure(options: SpeedOptions) -> None:
    """Measure searches of NAS-Bench-201: by the embedded accuracies, and by a proxy; print."""
    job = prepare(options)
    found = {name: rates.tabular_rate(name, options.repeats) for name in rates.TABULAR}
    rows = [[f"{name}, accuracies", f"{rate:,.0f}", ""] for name, rate in found.items()]
    shares = {}
    for proxy in job.proxies:
        rate, shares[proxy.name] = rates.scored_rate(job, proxy, options.cells)
        found[proxy.name] = rate
        rows.append([f"evolution, {proxy.name}", f"{rate:,.1f}", f"{100 * shares[proxy.name]:.1f} %"])
    notes = [
        f"{rates.TABULAR_BUDGET:,} candidates by accuracies, median over {options.repeats}; {options.cells} by proxies"
    ]
    content = {"evaluations_per_second": found, "scoring_share": shares}
    show(options, "searches of nasbench201", ["", "evaluations/s", "scoring"], rows, notes, content)
