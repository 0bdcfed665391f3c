"""Options of the families of models, as options of the commands that read a model."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

FAMILY_OPTIONS = "voxc.family_options"


class FamilyCommand(TyperCommand):
    """A command that also takes the options of all families, and puts them into `context.meta[FAMILY_OPTIONS]` by name.

    Families are looked at when it runs, for they are too heavy for the help of all commands. An option that is not used
    is None, for the family's own default.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        *own, last = super().get_params(ctx)  # --help comes last
        return [*own, *family_options(), last]

    def invoke(self, ctx: Any) -> Any:
        own = {each.name for each in self.params}
        ctx.meta[FAMILY_OPTIONS] = {name: ctx.params.pop(name) for name in [*ctx.params] if name not in own}
        return super().invoke(ctx)


def family_options() -> list[Any]:
    """The options of all families, as Typer makes them of the parameters of a command."""
    from voxc.compiler.families import FAMILIES

    fields: dict[str, FieldInfo] = {}
    for family in FAMILIES.values():
        fields = {**family.Options.model_fields, **fields}  # what families share is described by the first
    parameters = [parameter(name, field) for name, field in fields.items()]

    def function() -> None: ...

    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {each.name: each.annotation for each in parameters}
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return list(get_command(app).params)


def parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """A field as a parameter that may be left out."""
    usual = f" (default: {field.default:g})" if isinstance(field.default, int | float) else ""
    kind: Any = field.annotation
    annotation = Annotated[kind | None, typer.Option(help=f"{field.description}{usual}", show_default=False)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
