"""The values of a cage's secrets: looked up when it starts, and handed to nobody but the gate."""

import os
from collections.abc import Mapping

from kaged.cage.advice import refuse
from kaged.projects.cage_spec import CageSpec
from kaged.settings.local import Local, secret_value

SHORTEST = 8  # a shorter value could not be masked in what programs put out without masking ordinary words too


def secret_values(spec: CageSpec, local: Local, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The values by name, from `[secrets]` of local.toml. `KagedError("dsl_invalid")` never holds a value."""
    environ = os.environ if environ is None else environ
    values = {}
    for index, secret in enumerate(spec.secrets):
        name = secret.source.removeprefix("local:")
        source = local.secrets.get(name)
        key, place = f"cage.secrets[{index}].from", f"{name!r} in [secrets] of local.toml"
        value = secret_value(source, environ) if source is not None else ""
        if source is None:
            raise refuse(key, f"there is no {place}; add it there")
        if not value:
            raise refuse(key, f"{place} has no value; set the variable that it names")
        if len(value) < SHORTEST or not (value.isascii() and value.isprintable()):
            raise refuse(key, f"{place} must be printable ASCII, {SHORTEST} characters of it or more")
        values[secret.name] = value
    return values
