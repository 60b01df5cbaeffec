"""Orders and the command line: the same options, types, choices and limits, compared one by one."""

from importlib import import_module
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest
import typer

pytest.importorskip("fastapi", reason="needs the extra studio")

from pydantic import TypeAdapter, ValidationError

import neuroglow
from neuroglow.cli.commands import app as command_line
from neuroglow.selection.rules import RULES
from neuroglow.studio import orders
from neuroglow.train.adapt import AdaptSettings

COMMANDS = typer.main.get_command(command_line).commands
ORDERS = {o.model_fields["verb"].annotation.__args__[0]: o for o in orders.Order.__subclasses__()}
NEGATED = {"no_gate": "gate", "no_labels": "labels"}
"""Options that switch off a setting."""

FILES = {"raw", "export", "like", "adapt", "exclude"}
"""Options of verbs that are no settings: files, or another verb's work."""


def fields(verb):
    """The options of an order: its fields without files that have their place."""
    order = ORDERS[verb]
    return [n for n in order.model_fields if n not in ("verb", "out", *order.places)]


def settings_of(verb):
    """The settings of a verb, by name; of train, those of adapting too."""
    own = getattr(neuroglow, f"{verb.capitalize()}Settings")
    return [own, AdaptSettings] if verb == "train" else [own]


def option(verb, name):
    """The parameter of the command by which a field is given."""
    flag = orders.FLAGS.get(name, "--" + name.replace("_", "-"))
    (found,) = [p for p in COMMANDS[verb].params if flag in p.opts]
    return found


def parts(annotation):
    """List an annotation and all within it, without None."""
    yield annotation
    if get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from parts(part)


def choices(annotation):
    """All values of a Literal, if it is one."""
    return {v for p in parts(annotation) if get_origin(p) is Literal for v in get_args(p)}


def accepts(settings, name, value):
    """Tell whether a setting takes a value."""
    field = settings.model_fields[name]
    kind: Any = field.annotation
    for limit in field.metadata:
        kind = Annotated[kind, limit]
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("verb", ORDERS)
def test_a_field_is_an_option_of_its_type(verb):
    hints = get_type_hints(getattr(import_module(f"neuroglow.cli.{verb}"), verb))
    for name in fields(verb):
        kind, given = ORDERS[verb].model_fields[name].annotation, option(verb, name)
        assert given.is_flag == (bool in parts(kind)), name
        number = {int, float} & set(parts(hints[given.name]))
        if number:
            assert number & {*parts(kind), *map(type, choices(kind))}, name


@pytest.mark.parametrize("verb", ORDERS)
def test_a_field_has_the_choices_and_the_limits_of_its_setting(verb):
    for name in sorted(set(fields(verb)) - FILES):
        order, setting = ORDERS[verb].model_fields[name], NEGATED.get(name, name)
        kinds = [s for s in settings_of(verb) if setting in s.model_fields]
        assert kinds, f"{verb} has no setting {setting}"
        wanted = choices(kinds[0].model_fields[setting].annotation)
        if (verb, name) == ("select", "rule"):
            wanted = set(RULES)
        if wanted:
            assert choices(order.annotation) == wanted, name
        for value in [*choices(order.annotation), *extremes(order.annotation, order.metadata)]:
            assert any(accepts(s, setting, value) for s in kinds), (name, value)


def extremes(annotation, metadata=()):
    """The least and the greatest number that a field takes, if it is one number."""
    if {tuple, list} & {get_origin(part) for part in parts(annotation)}:
        return
    limits = [*metadata, *(m for p in parts(annotation) for m in getattr(p, "__metadata__", ()))]
    for limit in (m for one in limits for m in getattr(one, "metadata", [one])):
        for name, step in (("ge", 0), ("le", 0), ("gt", 1e-6), ("lt", -1e-6)):
            if (value := getattr(limit, name, None)) is not None:
                yield value + step if step else value


def test_a_limit_that_is_too_wide_would_be_noticed():
    kind = Annotated[float, orders.Field(gt=0, le=90)]
    assert list(extremes(kind | None)) == [1e-6, 90]
    assert not accepts(neuroglow.TraceSettings, "crossing_angle", 90)
    assert choices(Literal["a", "b"] | None) == {"a", "b"}


@pytest.mark.parametrize("verb", ORDERS)
def test_what_resumes_is_what_the_command_line_resumes(verb):
    """Train resumes as well, where its folder holds a run: the jobs look for it."""
    has = any("--resume" in p.opts for p in COMMANDS[verb].params)
    assert has == (ORDERS[verb].resumes or verb == "train")
