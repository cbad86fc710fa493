"""What the offline model asks of the tools fits them as they are."""

import pytest

from kaged.models.offline.offers import attempts, changes
from kaged.models.offline.script import Call, parse
from kaged.tools.toolbox import Toolbox

SCRIPT = "run: ls\nread: a\nsearch: x\nask: why?\nedit a: b => c\nwrite a: b"


def calls() -> list[Call]:
    """Every kind of call that it makes."""
    scripted = [step for command in parse(SCRIPT) or [] for step in command[1] if isinstance(step, Call)]
    old, new = next(changes("def f(a):\n    return a // 2\n", ["f"]))
    edit = Call("file.edit", {"path": "a.py", "old_string": old, "new_string": new})
    return [*scripted, edit, *(Call("shell", {"command": command}) for _, command in attempts(1))]


@pytest.mark.parametrize("call", calls(), ids=lambda call: call.tool)
def test_every_call_fits_its_tool(call: Call) -> None:
    tool = Toolbox().get(call.tool)
    assert tool is not None
    tool.arguments.model_validate(dict(call.args))
