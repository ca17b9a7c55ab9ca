"""What the doors of all commands share: options from a dataclass, one-line errors.

Light on purpose: nothing here imports torch or rich, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import io
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import jsonargparse
import yaml

from benchmarks.output.naming import BAD_INPUT, said
from benchmarks.reading.limits import check_size, shown
from benchmarks.reading.naming import option_meant

DEBUG_VARIABLE = "DISWOT_DEBUG"  # set it to see the traceback of what is otherwise one line
INTERRUPTED = 130
TEXT = re.compile(
    r"""Parser key "(\w+)": (?!.*Expected an? <class '(?:int|float)'>)"""
    r""".*?Expected a <class 'str'>.* (?:Got|Given) value: (.*)"""
)
NUMBER = re.compile(
    r"""Parser key "(\w+)": (?!.*Expected a <class 'str'>)"""  # what may be a text as well is no number
    r""".*?Expected an? <class '(int|float)'>.* (?:Got|Given) value: (.*)"""
)
CHOICE = re.compile(r'Parser key "(\w+)": .*?typing\.Literal(\[.*?\]).* (?:Got|Given) value: (.*)')
DEEPEST = 10  # lists and maps in one another, in a configuration

O = TypeVar("O")  # noqa: E741, an options dataclass


def option(default: Any, text: str) -> Any:
    """A field of an options dataclass: its default and its line in --help."""
    return dataclasses.field(default=default, metadata={"help": text})


def argument(text: str) -> Any:
    """A field that is given without a name: text, or one or more of them where it is a tuple."""
    return dataclasses.field(kw_only=True, metadata={"help": text, "positional": True})


class Parser(jsonargparse.ArgumentParser):
    """A parser whose errors are one line, with exit code 2; its texts call commands as the user does."""

    def __init__(self, *others: Any, prog: str, description: str, **named: Any) -> None:
        super().__init__(*others, prog=said(prog, ours=True), description=said(description, ours=True), **named)

    def add_argument(self, *names: Any, **named: Any) -> Any:
        """See argparse."""
        if isinstance(named.get("help"), str):
            named["help"] = said(named["help"], ours=True)
        return super().add_argument(*names, **named)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, *others: Any, **named: Any
    ) -> Any:
        """The options; what is typed has to be text, since it stands in what is printed and written."""
        for text in sys.argv[1:] if args is None else args:
            if any("\ud800" <= letter <= "\udfff" for letter in text):  # how Python holds bytes that are none
                self.error(f"{text}: no UTF-8 text")
        return super().parse_args(args, *others, **named)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what is wrong, and end."""
        if unknown := re.search(r"nrecognized arguments: --([A-Za-z0-9_-]+)", message):
            options = [text[2:] for text in self._option_string_actions if text.startswith("--")]
            message += option_meant(unknown[1].replace("_", "-"), options)
        print(f"{self.prog}: error: {shown(self._plain(message))} (see --help)", file=sys.stderr)
        raise SystemExit(BAD_INPUT)

    def _plain(self, message: str) -> str:
        """What jsonargparse says of a value that is no number or none of its choices, without its words for types."""
        message = " ".join(message.split())
        if lacking := re.fullmatch(r"the following arguments are required: (?:\w+\.)?(.*)", message):
            return f"missing: {lacking[1]}"
        if choice := CHOICE.fullmatch(message):
            return f"{self._typed(choice[1])} {choice[3]}: there are {', '.join(ast.literal_eval(choice[2]))}"
        if number := NUMBER.fullmatch(message):
            wanted = "a whole number" if number[2] == "int" else "a number"
            return f"{self._typed(number[1])} {number[3]}: {wanted} is expected"
        if text := TEXT.fullmatch(message):
            wanted = "a text with commas or blanks" if text[2].startswith("[") else "a text in quotes"
            return f"{self._typed(text[1])} {text[2]}: {wanted} is expected"
        return message

    def _typed(self, name: str) -> str:
        """An option as it is typed."""
        option = f"--{name.replace('_', '-')}"
        return option if any(option in action.option_strings for action in self._actions) else name


class ConfigFile(jsonargparse.ActionConfigFile):
    """--config: a YAML file of a sensible size, without aliases: a few of them can stand for more than memory holds."""

    def __call__(
        self, parser: argparse.ArgumentParser, cfg: Any, values: Any, option_string: str | None = None
    ) -> None:
        """Look at the file, and read it."""
        path = Path(values)
        try:
            check_size(path, "config")
            events = yaml.parse(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
            depth = 0
            for event in events:
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > DEEPEST:  # the time that nesting takes grows with its square
                    parser.error(f"--config {path}: nested more than {DEEPEST} deep; options are flat")
                if isinstance(event, yaml.AliasEvent):
                    parser.error(f"--config {path}: YAML aliases (*name) are not read; write the value out")
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            parser.error(f"--config {path}: can't be read ({error})")
        super().__call__(parser, cfg, values, option_string)


def parser(options: type, prog: str, *, config: bool = True) -> Parser:
    """A parser with one option a field of the dataclass, and --config and --print_config."""
    made = Parser(prog=prog, description=(options.__doc__ or "").strip())
    if config:
        made.add_argument("--config", action=ConfigFile, help="read options from this YAML file")
    types = get_type_hints(options)
    for field in dataclasses.fields(options):
        name = "--" + field.name.replace("_", "-")
        text = field.metadata["help"]
        if field.metadata.get("positional"):
            several = get_origin(types[field.name]) is tuple
            kind = str if several else types[field.name]
            made.add_argument(field.name, type=kind, nargs="+" if several else None, help=text)
        elif types[field.name] is bool:
            made.add_argument(name, action="store_true", help=text)
        else:
            made.add_argument(name, type=types[field.name], default=field.default, help=text)
    return made


def parse(options: type[O], prog: str, arguments: Sequence[str] | None = None) -> O:
    """The options that a command line gives."""
    made = parser(options, prog)
    try:
        values = made.parse_args(arguments)
    except (RecursionError, ValueError) as error:  # of a configuration file that can't be read
        made.error(f"the configuration can't be read ({type(error).__name__})")
    types = get_type_hints(options)
    chosen = {field.name: values[field.name] for field in dataclasses.fields(options)}  # type: ignore[arg-type]
    for name, value in chosen.items():
        empty = value is None and type(None) not in get_args(types[name])
        if empty or (types[name] is bool and not isinstance(value, bool)):
            made.error(f"--{name.replace('_', '-')}: {value!r} is not allowed")
    return options(**{name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()})


def reported(prog: str, run: Callable[[], None]) -> int:
    """Run a command's body; its exit code. Bad input is one line and code 2, Ctrl-C says how to go on."""
    prog = said(prog, ours=True)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal of few letters loses a letter, never the run
        sys.stdout.reconfigure(errors="replace")
    try:
        run()
    except KeyboardInterrupt:
        print(f"{prog}: interrupted; what is done is kept, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, sqlite3.Error) as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        print(f"{prog}: error: {said(_one_line(error))}", file=sys.stderr)
        return BAD_INPUT
    return 0


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return shown(f"{error.filename}: {error.strerror}")
    return shown(str(error))
