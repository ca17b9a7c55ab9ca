"""What a user chooses of a search. Light: nothing here imports torch or pandas, as --help has to be quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.output.command import option
from benchmarks.output.options import EngineOptions, ScoringOptions, TableOptions

LIMITS = ("max_params", "max_macs", "max_layers")


@dataclass
class SearchOptions(TableOptions, EngineOptions, ScoringOptions):
    """Which searches, by what fitness, within which limits, and where they are left."""

    proxy: str = option("diswot", "fitness: proxies or combinations as for rank.py; each is searched with")
    strategy: str = option("evolution", "evolution, aging, local, random, exhaustive, nsga2; separated by commas")
    oracle: bool = option(False, "the fitness is the accuracy table itself: the classic multi-trial search")
    budget: int | None = option(None, "candidates to score in each search [200; exhaustive: all]")
    max_params: float | str | None = option(None, "most trainable scalars, such as 1M or 1e6")
    max_macs: float | str | None = option(None, "most multiply-accumulates for one image")
    max_layers: float | str | None = option(None, "most convolutions and linear layers")
    seed: int = option(0, "seed of the search, and of its batch and weights")
    seeds: int = option(1, "number of searches, counted up from --seed; tables give mean and spread")
    among_known: bool = option(False, "only candidates whose accuracy is known: what each proxy would pick of a table")
    same_draw: bool = option(False, "all searches under the batch and weights of --seed, not of their own seed")
    population: int = option(50, "candidates in the population")
    tournament: int = option(10, "how many of them a round draws")
    top: int = option(5, "among how many of the best of these the parent is drawn (evolution)")
    children: int = option(1, "children a round, scored together")
    against: Literal["params", "macs"] = option("params", "what nsga2 weighs the fitness against")
    alone: bool = option(False, "without random search and the largest candidate beside it")
    out: str | None = option(None, "folder for results [runs/ with the conditions in its name]")
    store: str | None = option(None, "file of scores already computed [store.sqlite in --out, else in runs/]")
    markdown: bool = option(False, "print the table as Markdown")


@dataclass
class TabularOptions(SearchOptions):
    """Which searches by a score table; conditions are those of the table that is asked for."""

    proxy: str = option("all", "fitness: proxies as for rank.py, those of them that the table has")
    strategy: str = option("evolution,aging,local,random", "evolution, aging, local, random; separated by commas")
    budgets: str = option("50,100,200,500", "numbers of candidates at which the winners are read")
    seeds: int = option(500, "number of searches a row, counted up from --seed")
    draw_seed: int = option(0, "seed of the table's scores: of their batch and weights")
    curves: str = option("diswot,synflow", "proxies in the figure of regret over budget, beside parameters and chance")
