"""YAML read safely, by the 1.2 core schema: `no` is a string and `1e-3` a number."""

import re
from typing import Any

import yaml

from s2s_cli.errors import ConfigError


def load_yaml(text: str, where: str) -> object:
    """Parse YAML 1.2 core-schema text; duplicate keys are errors.

    Raises:
        ConfigError: the text is not YAML, or a mapping names a key twice.
    """
    try:
        return yaml.load(text, Loader=_CoreSchemaLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        message = " ".join(str(error).split())
        raise ConfigError(f"{where}: not valid YAML: {message}") from error


class _CoreSchemaLoader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalar types of YAML 1.2 and no duplicate keys."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                line = node.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: the key '{key}' is given twice; keep one")
        return super().construct_mapping(node, deep)


def _construct_int(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    """YAML 1.2: `010` is ten, `0o10` and `0x8` are eight."""
    text = str(node.value)
    return int(text, 0) if text.startswith("0") and text[1:2] in ("o", "x") else int(text)


_CoreSchemaLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)
for _tag, _pattern, _first in (
    ("null", r"|~|null|Null|NULL", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", [*"-+0123456789"]),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
):
    _CoreSchemaLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first
    )
