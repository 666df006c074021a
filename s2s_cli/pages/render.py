"""Fill templates. Text from the data is escaped, so that it can neither format a page nor run."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from s2s_cli.console import printable


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("s2s_cli", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["printable"] = lambda text: printable(str(text))
    return environment


def render(name: str, **context: object) -> str:
    """Fill a template of this folder.

    Args:
        name: of the template, such as `report.html`.
        context: the variables of the template.

    Raises:
        jinja2.UndefinedError: the template uses a variable that is not given.
    """
    return _environment().get_template(f"{name}.j2").render(context)
