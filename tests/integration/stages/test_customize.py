"""Customize: real packages, users, units and scripts on a real Debian tree, twice the same."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from builder.model.errors import RecipeError, StageError
from builder.model.recipe.content import Script, Services, System, User
from builder.model.value import Digest
from builder.recipes.project import Project
from builder.stages.customize import customize
from builder.stages.tree.scripts import read_scripts
from builder.store import Store
from builder.store.manifest import read_tree
from tests.support.builds.kitchen import Kitchen
from tests.support.needs import needs
from tests.support.trees.base_trees import EPOCH, keep_package

pytestmark = needs("root", "archive", "program:mmdebstrap", "program:bwrap")

UNIT = "[Service]\nExecStart=/bin/true\n"
INSTALLED = f"{UNIT}[Install]\nWantedBy=multi-user.target\n"
MAIN = {
    "etc/main.conf": "the package's\n",
    "lib/systemd/system/main.service": INSTALLED,
    "lib/systemd/system/other.service": INSTALLED,
    "lib/systemd/system/bare.service": UNIT,
    "DEBIAN/conffiles": "/etc/main.conf\n",
    "DEBIAN/postinst": (
        "#!/bin/sh -e\n"
        "test -e /usr/share/needed\n"  # configured after what it depends on
        "addgroup --system --quiet mains\n"
        "invoke-rc.d --quiet old-style start\n"
        "echo host=$(uname -n) >/var/lib/main-was-here\n"
    ),
    "etc/init.d/old-style": "#!/bin/sh\ntouch /was-started\n",
}


@pytest.fixture(scope="session")
def whole(first: Kitchen) -> Path:
    """A tree for which all was asked that a recipe can ask for."""
    return everything(first)


def everything(kitchen: Kitchen) -> Path:
    """Use all that a recipe can ask for at once."""
    kitchen.write("overlay/etc/motd.j2", "{{ parameters.title }} from {{ template.name }}\n")
    kitchen.write("overlay/etc/hostname", "asked-for\n")
    kitchen.write("overlay/lib/overlaid", "below a folder that is a link\n")
    kitchen.write("overlay/etc/main.conf", "the author's\n")
    kitchen.write("one.sh", "#!/bin/sh -e\nenv | sort >/env; cat /etc/motd; echo 1 >>/order\n")
    kitchen.write("sub/two.sh", "#!/bin/sh -e\ncat /proc/net/dev >/net; pwd >>/order\n")
    main = kitchen.package("main", depends="needed, adduser", **MAIN)
    return kitchen.cook(
        "one.sh",
        "sub/two.sh",
        packages=(
            msgspec.structs.replace(main, requested=True),
            kitchen.package("needed", **{"usr/share/needed": "x"}),
        ),
        users=(
            User(name="admin", groups=("mains", "adm"), ssh_keys=("ssh-ed25519 AAAA me",)),
            User(name="daemon-x", system=True, shell="/usr/sbin/nologin"),
            User(name="fixed", uid=4242, home="/srv/fixed", gecos="Fixed One"),
        ),
        services=Services(
            enable=("main.service",), disable=("other.service",), mask=("getty@tty1.service",)
        ),
        system=System(timezone="Europe/Berlin"),
    )


def test_all_that_a_recipe_asks_for_is_there(whole: Path) -> None:
    tree = whole
    text = {path: (tree / path).read_text() for path in ("etc/passwd", "etc/group", "etc/shadow")}

    assert "Package: main\nStatus: install ok installed\n" in _status(tree)
    assert (tree / "var/lib/main-was-here").read_text() == "host=localhost\n"
    assert "Package: needed" in (tree / "var/lib/apt/extended_states").read_text()
    assert "Package: main\n" not in (tree / "var/lib/apt/extended_states").read_text()
    assert not (tree / "was-started").exists()
    assert not (tree / "usr/sbin/policy-rc.d").exists()

    assert (tree / "etc/motd").read_text() == "Hello from web\n"
    assert (tree / "etc/hostname").read_text() == "asked-for\n"
    assert (tree / "etc/main.conf").read_text() == "the author's\n"
    assert (tree / "lib").is_symlink()
    assert (tree / "usr/lib/overlaid").exists()

    assert "admin:x:1000:1000::/home/admin:/bin/bash\n" in text["etc/passwd"]
    assert "fixed:x:4242:4242:Fixed One:/srv/fixed:/bin/bash\n" in text["etc/passwd"]
    assert ":/nonexistent:/usr/sbin/nologin\n" in text["etc/passwd"]
    assert "adm:x:4:admin\n" in text["etc/group"]
    assert f"admin:!:{EPOCH // 86400}:" in text["etc/shadow"]
    keys = tree / "home/admin/.ssh/authorized_keys"
    assert keys.read_text() == "ssh-ed25519 AAAA me\n"
    assert (keys.stat().st_mode & 0o777, keys.parent.stat().st_uid) == (0o600, 1000)

    units = tree / "etc/systemd/system"
    assert (units / "multi-user.target.wants/main.service").is_symlink()
    assert not (units / "multi-user.target.wants/other.service").exists()
    assert (units / "getty@tty1.service").readlink() == Path("/dev/null")
    assert (tree / "etc/localtime").readlink() == Path("/usr/share/zoneinfo/Europe/Berlin")
    assert (tree / "etc/timezone").read_text() == "Europe/Berlin\n"
    assert (tree / "etc/locale.conf").read_text() == "LANG=C.UTF-8\n"


def _status(tree: Path) -> str:
    return (tree / "var/lib/dpkg/status").read_text()


def test_scripts_run_in_order_without_network_in_a_known_environment(whole: Path) -> None:
    tree = whole
    env = dict(line.split("=", 1) for line in (tree / "env").read_text().splitlines())
    assert env.pop("PATH")
    assert {name: env[name] for name in env if name not in {"PWD", "SHLVL", "_"}} == {
        "DEBCONF_NONINTERACTIVE_SEEN": "true",
        "DEBIAN_FRONTEND": "noninteractive",
        "FORCE_SOURCE_DATE": "1",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "OVEN_BASE_ARCH": "amd64",
        "OVEN_BASE_DISTRO": "debian",
        "OVEN_BASE_SUITE": "bookworm",
        "OVEN_FILES": "/run/oven/scripts",
        "OVEN_PARAMETERS_HTTPS": "false",
        "OVEN_PARAMETERS_TITLE": "Hello",
        "OVEN_TEMPLATE_NAME": "web",
        "OVEN_TEMPLATE_SUMMARY": "A web server",
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "TZ": "UTC",
    }
    assert (tree / "order").read_text() == "1\n/\n"
    interfaces = (tree / "net").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


def test_the_same_asked_elsewhere_and_later_is_the_same_tree(
    tmp_path: Path, base: Path, whole: Path
) -> None:
    time.sleep(1.1)  # so that a time in seconds would differ
    assert everything(Kitchen.new(tmp_path, base)).parent.name == whole.parent.name


def test_nothing_asked_for_still_cleans(kitchen: Kitchen) -> None:
    tree = kitchen.cook()
    assert (tree / "etc/machine-id").read_bytes() == b""
    for gone in ("etc/resolv.conf", "etc/hostname", "etc/shadow-", "var/log/dpkg.log"):
        assert not (tree / gone).exists()
    for empty in ("dev", "proc", "run", "tmp", "var/cache/apt/archives", "var/lib/apt/lists"):
        assert [one for one in (tree / empty).rglob("*") if not one.is_dir()] == []


def test_the_base_is_left_alone(kitchen: Kitchen, base: Path) -> None:
    kitchen.write("overlay/etc/issue", "mine\n")
    kitchen.write("edit.sh", "#!/bin/sh -e\necho more >>/etc/profile\nrm /etc/debian_version\n")
    before = kitchen.store.tree_manifest(kitchen.base)
    tree = kitchen.cook("edit.sh")
    assert (tree / "etc/profile").read_text().endswith("more\n")
    assert not (tree / "etc/debian_version").exists()
    lower = kitchen.store.tree(kitchen.base)
    assert lower is not None
    assert read_tree(lower, epoch=EPOCH) == before


def test_an_appliance_keeps_the_overlay_below_it(kitchen: Kitchen) -> None:
    kitchen.write("overlay/etc/hostname", "asked-for\n")
    below = customize(kitchen.inputs(), kitchen.tools).tree
    tree = kitchen.cook(tree=below, overlay=(), inherited=("etc/hostname",))
    assert (tree / "etc/hostname").read_text() == "asked-for\n"


def test_a_maintainer_script_that_fails(kitchen: Kitchen) -> None:
    postinst = "#!/bin/sh\necho this is why >&2\nexit 3\n"
    error = kitchen.refused(packages=(kitchen.package("broken", **{"DEBIAN/postinst": postinst}),))
    assert isinstance(error, StageError)
    assert error.problem == "the package `broken` could not be installed"
    assert "this is why" in error.output
    assert error.command is not None
    assert error.command.startswith("bwrap ")


def test_a_package_file_that_is_none(kitchen: Kitchen, tmp_path: Path) -> None:
    (tmp_path / "junk_1_all.deb").write_text("junk")
    junk = keep_package(tmp_path / "junk_1_all.deb", kitchen.store, name="junk")
    error = kitchen.refused(packages=(junk,))
    assert isinstance(error, StageError)
    assert error.problem == "the package file of `junk` cannot be read"


def test_a_script_that_fails(kitchen: Kitchen) -> None:
    kitchen.write("bad.sh", "#!/bin/sh\necho to stdout\necho to stderr >&2\nexit 9\n")
    error = kitchen.refused("bad.sh")
    assert isinstance(error, StageError)
    assert error.problem == "the script `bad.sh` failed"
    assert "to stdout" in error.output
    assert "to stderr" in error.output
    assert error.command is not None
    assert error.command.endswith("/run/oven/scripts/bad.sh")


@pytest.mark.parametrize(
    ("more", "problem", "hint"),
    [
        (
            {"users": (User(name="me", groups=("audoi",)),)},
            "the user `me` asks for the group `audoi`, which does not exist",
            "did you mean `audio` or `sudo`?",
        ),
        (
            {"users": (User(name="root"),)},
            "the user `root` is there already",
            "a package or the template below made it; choose another name",
        ),
        (
            {"users": (User(name="me", uid=33),)},
            "the user `me` asks for the uid 33, which is `www-data`'s",
            None,
        ),
        (
            {"users": (User(name="me", shell="/bin/zsh"),)},
            "the user `me` asks for the shell `/bin/zsh`, which is not in the tree",
            "add its package to `packages.install`",
        ),
        (
            {"users": (User(name="me", gecos="a:b"),)},
            "the user `me` has a colon or a control character in `gecos`",
            None,
        ),
        (
            {"services": Services(enable=("systemd-netwrkd.service",))},
            "there is no unit `systemd-netwrkd.service` in the tree",
            "did you mean `systemd-networkd.service`",
        ),
        (
            {"services": Services(enable=("systemd-journald.service",))},
            "the unit `systemd-journald.service` cannot be enabled: it has no [Install] section",
            "it is started by another unit; enable that one, or remove this line",
        ),
        (
            {"system": System(timezone="Europe/Berln")},
            "there is no time zone `Europe/Berln`",
            "did you mean `Europe/Berlin`",
        ),
        (
            {"system": System(locale="de_DE.UTF-8")},
            "the locale `de_DE.UTF-8` has to be generated",
            "add `locales` to `packages.install`, or use `C.UTF-8`",
        ),
    ],
)
def test_mistakes_are_the_authors_to_mend(
    kitchen: Kitchen, more: dict[str, object], problem: str, hint: str | None
) -> None:
    error = kitchen.refused(packages=(), **more)
    assert isinstance(error, RecipeError)
    assert error.problem == problem
    assert error.hint == hint or (hint and error.hint and error.hint.startswith(hint))


@pytest.mark.parametrize(
    ("prepare", "problem"),
    [
        (lambda _folder: None, "there is no script `x.sh`"),
        (lambda folder: (folder / "x.sh").write_text("echo\n"), "a script needs a `#!` line"),
        (lambda folder: (folder / "x.sh").write_text("#!/bin/sh\r\n"), "Windows line ends"),
        (lambda folder: (folder / "x.sh").symlink_to("/bin/sh"), "leads out of the project"),
    ],
)
def test_scripts_that_cannot_run_are_refused_before_the_build(
    tmp_path: Path, prepare: Callable[[Path], object], problem: str
) -> None:
    prepare(tmp_path)
    with pytest.raises(RecipeError, match=problem):
        read_scripts((Script(path="x.sh"),), tmp_path, Store(tmp_path / "store"), Project(tmp_path))


def test_a_base_that_is_gone_is_said_so(kitchen: Kitchen) -> None:
    gone = Digest("sha256:" + "0" * 64)
    assert kitchen.refused(tree=gone).problem == "the tree to work on is gone"
