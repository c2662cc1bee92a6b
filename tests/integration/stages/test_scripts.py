"""Scripts of a recipe: what they are given, and when they run."""

from dataclasses import replace
from pathlib import Path

import pytest

from builder.host import programs
from builder.host.programs import Command
from builder.model.errors import RecipeError
from builder.model.recipe.content import Script, Services
from tests.support.builds.kitchen import Kitchen
from tests.support.needs import needs

pytestmark = needs("root", "archive", "program:mmdebstrap", "program:bwrap")

UNIT = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"


def test_a_script_has_its_files_arguments_and_variables(kitchen: Kitchen) -> None:
    kitchen.write("lib.sh", "say() { echo $1 >>/said; }\n")
    kitchen.write("data/deep/one", "1\n")
    kitchen.write("data/tool", "#!/bin/sh\necho tool >>/said\n")
    (kitchen.recipe / "data/tool").chmod(0o755)
    (kitchen.recipe / "data/link").symlink_to("deep/one")
    kitchen.write("unseen", "x\n")
    kitchen.write(
        "run.sh",
        """#!/bin/sh -eu
. "$OVEN_FILES/lib.sh"
say "$1" && say "$2" && say "$COLOR"
cd "$OVEN_FILES"
cat data/deep/one data/link >>/said
data/tool
test ! -e unseen
if echo x 2>/dev/null >>data/deep/one; then exit 1; fi
""",
    )
    script = Script(
        path="run.sh", args=("a b", "-c"), env={"COLOR": "blue"}, files=("lib.sh", "data")
    )
    tree = kitchen.cook(script)
    assert (tree / "said").read_text().splitlines() == ["a b", "-c", "blue", "1", "1", "tool"]


def test_a_unit_that_a_script_makes_is_enabled(kitchen: Kitchen) -> None:
    kitchen.write("make.sh", f"#!/bin/sh -e\necho '{UNIT}' >/etc/systemd/system/own.service\n")
    kitchen.write("see.sh", "#!/bin/sh -e\nls /etc/systemd/system/multi-user.target.wants >/seen\n")
    tree = kitchen.cook(
        "see.sh",
        Script(path="make.sh", before_services=True),
        services=Services(enable=("own.service",)),
    )
    assert "own.service" in (tree / "seen").read_text()


def test_what_a_script_says_is_told_without_secrets(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[str]()

    class Heard:
        def __call__(self, command: Command, /) -> None: ...

        def said(self, text: str, /) -> None:
            told.append(text)

    monkeypatch.setattr(programs, "_traces", [Heard()])
    kitchen.write("talk.sh", "#!/bin/sh\necho here; cat /run/oven/secrets/key\n")
    kitchen.tools = replace(kitchen.tools, secrets={"key": b"hidden-for-all\n"})
    kitchen.cook("talk.sh", secrets=("key",))
    assert told == ["here\n[secret key]"]


def test_files_that_are_not_there_are_refused(kitchen: Kitchen) -> None:
    kitchen.write("run.sh", "#!/bin/sh\n")
    error = kitchen.refused(Script(path="run.sh", files=("none",)))
    assert isinstance(error, RecipeError)
    assert error.problem == "there is no file or folder `none`"


def test_files_do_not_lead_out_of_the_project(kitchen: Kitchen, tmp_path: Path) -> None:
    kitchen.write("run.sh", "#!/bin/sh\n")
    kitchen.write("data/one", "1\n")
    (kitchen.recipe / "data/out").symlink_to("/etc/passwd")
    error = kitchen.refused(Script(path="run.sh", files=("data",)))
    assert error.problem == "this leads out of the project"
