"""`python -m kaged.projects validate FILE… | schema`, for `kaged dsl`. Exit 0: fine, 1: problems printed, 2: usage."""

import json
import sys
from pathlib import Path

from kaged.projects import templates
from kaged.projects.files import overlay_name, parse
from kaged.projects.model import json_schema
from kaged.projects.yaml_core import ProjectError


def main(arguments: list[str]) -> int:
    match arguments:
        case ["schema"]:
            sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
            return 0
        case ["validate", *paths] if paths:
            problems = [problem for path in paths for problem in validate(Path(path))]
            sys.stdout.writelines(f"{problem}\n" for problem in problems)
            return 1 if problems else 0
        case _:
            sys.stderr.write("usage: python -m kaged.projects validate PATH… | schema\n")
            return 2


def validate(path: Path) -> list[str]:
    """The problems of a project file, or of the one in a project's folder."""
    file = path / templates.FILE if path.is_dir() else path
    overlay_file = file.with_name(overlay_name(file.name))
    try:
        text = file.read_bytes().decode("utf-8")
        overlay = overlay_file.read_bytes().decode("utf-8") if overlay_file.exists() else None
    except OSError as error:
        return [f"{error.filename}: {error.strerror}"]
    except UnicodeDecodeError as error:
        return [f"{file}: is not UTF-8 text (byte {error.start})"]
    try:
        parse(text, name=str(file), overlay=overlay)
    except ProjectError as error:
        return error.problems
    return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
