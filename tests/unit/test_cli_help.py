"""What every verb says of itself: an operator finds out from --help what it does and what each option means."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from lightmail.cli import FAMILIES, cli


def verbs(command: click.Command = cli, path: tuple[str, ...] = ("lightmail",)) -> Iterator[tuple[str, click.Command]]:
    """Every command with its name as it is typed, families before what is in them."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from verbs(below, (*path, name))


VERBS = list(verbs())


@pytest.mark.parametrize(("name", "verb"), VERBS)
def test_each_verb_says_what_it_does(name: str, verb: click.Command) -> None:
    said = (verb.help or "").strip()
    first = said.split("\n\n", maxsplit=1)[0].rstrip("\b ")
    assert first, f"{name} says nothing"
    assert first[0].isupper(), name
    assert "." in first, f"{name}: {first}"
    assert not verb.deprecated


@pytest.mark.parametrize(("name", "verb"), VERBS)
def test_each_option_says_what_it_means_and_its_default_is_one_of_its_values(name: str, verb: click.Command) -> None:
    context = click.Context(verb, info_name=name)
    for option in verb.params:
        if isinstance(option, click.Option):
            assert option.help or name == "lightmail", f"{name} {option.opts[0]} has no help"
            # Raises BadParameter where a default is not among the values that can be given.
            if not option.required:
                option.process_value(context, option.get_default(context))


@pytest.mark.parametrize(("name", "verb"), VERBS)
def test_help_fits_a_terminal(name: str, verb: click.Command) -> None:
    context = click.Context(verb, info_name=name, terminal_width=80, max_content_width=80)
    text = verb.get_help(context)
    assert "\t" not in text
    assert all(len(line) <= 100 for line in text.splitlines()), name


def test_what_is_called_wrongly_is_told_what_there_is() -> None:
    done = CliRunner().invoke(cli, ["acount", "list"])
    assert done.exit_code == 2
    assert "acount" in done.output
    listed = CliRunner().invoke(cli, ["--help"]).output
    assert all(f"  {name} " in listed for name in FAMILIES)
