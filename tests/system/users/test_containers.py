"""An ordinary user runs containers: single commands anywhere, whole systems with a cgroup."""

import io
import os
import signal
import socket
import tarfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

from builder.host.kernel.hierarchies import Layout, layout
from tests.support.builds.projects import project
from tests.support.hosts.ordinary_user import Account
from tests.support.hosts.terminal import Terminal
from tests.support.needs import needs
from tests.support.oven import Oven, end, text, wait_for_line

pytestmark = [
    needs(
        "root", "archive", "userns", "program:newuidmap", "program:useradd", "program:runc",
        "program:conmon",
    ),
    pytest.mark.usefixtures("nothing_left_of_user"),
]  # fmt: skip

PATIENCE = 30.0
NEWER = """\
from = "debian-bookworm"

[template]
name = "newer"
summary = "With one file more"
"""


def test_a_command_is_root_of_its_own_ids(plain: Oven, somebody: Account) -> None:
    script = (
        "id -u; touch /x; chown 33:65533 /x; stat -c %u:%g /x /etc/shadow; cat /proc/self/uid_map"
    )
    said = text(
        plain("run", "--network", "none", "debian-bookworm", "--", "sh", "-ec", script).stdout
    )
    assert said.split()[:3] == ["0", "33:65533", "0:42"]
    assert said.split()[3:] == ["0", "0", "1", "1", "1", "65535"]


@pytest.mark.parametrize("code", [0, 7])
def test_status_and_streams_pass_through(plain: Oven, code: int) -> None:
    run = ("run", "--network", "none", "debian-bookworm", "--")
    done = plain(*run, "sh", "-c", f"cat; exit {code}", stdin=b"a\0b", code=code)
    assert done.stdout == b"a\0b"


@pytest.mark.needs("program:pasta")
@pytest.mark.parametrize("options", [(), ("--network", "none")])
def test_statuses_of_commands_are_passed_on(networked: Oven, options: tuple[str, ...]) -> None:
    for code in (0, 3, 137):
        run = ("run", *options, "debian-bookworm", "--")
        assert networked.said(*run, "sh", "-c", f"exit {code}", code=code) == ""
    networked("run", *options, "debian-bookworm", "--", "/etc/passwd", code=126)
    networked("run", *options, "debian-bookworm", "--", "absent", code=127)
    line = ("run", *options, "debian-bookworm", "--", "sh", "-c")
    script = "trap 'exit 5' TERM; echo begun; sleep 1000 & wait"
    process = networked.start(*line, script)
    wait_for_line(process, "begun")
    assert end(process, signal.SIGTERM)[0] == 5


@pytest.mark.needs("program:pasta")
@pytest.mark.parametrize("options", [("-p", "18097:80"), ("--network", "none", "-t")])
def test_statuses_are_passed_on_in_other_ways_of_running(
    networked: Oven, options: tuple[str, ...]
) -> None:
    for code in (0, 3):
        run = ("run", *options, "debian-bookworm", "--", "sh", "-c", f"exit {code}")
        if "-t" not in options:
            networked(*run, code=code)
            continue
        terminal = Terminal(networked.line(*run), cwd=networked.cwd, env=networked.environment)
        try:
            assert terminal.wait() == code
        finally:
            terminal.close()


def test_a_system_without_a_cgroup_is_refused_with_the_reason(plain: Oven) -> None:
    said = plain.said("run", "--name", "no", "--network", "none", "debian-bookworm", code=3)
    assert "needs a cgroup of its own" in said
    assert text(plain("list").stdout).splitlines()[1:] == []


def test_a_whole_life(delegated: Oven) -> None:
    delegated("run", "--name", "mine", "--network", "none", "debian-bookworm")
    state = delegated("exec", "mine", "--", "systemctl", "is-system-running", "--wait")
    assert state.stdout == b"running\n"
    delegated("exec", "mine", "--", "sh", "-c", "echo hello >/kept; chown 33 /kept")
    delegated("restart", "mine")
    kept = delegated("exec", "-u", "www-data", "mine", "--", "cat", "/kept")
    assert kept.stdout == b"hello\n"
    delegated("freeze", "mine")
    assert "frozen" in text(delegated("list").stdout)
    delegated("thaw", "mine")
    assert "Reached target" in text(delegated("logs", "mine").stdout)
    delegated("stop", "mine")
    delegated("destroy", "mine")


def test_work_in_it(delegated: Oven) -> None:
    first_boot = ("--hostname", "desk", "--timezone", "Etc/UTC", "--add-user", "ann:adm,uid=1005")
    delegated("run", "--name", "work", "--network", "none", *first_boot, "debian-bookworm")
    script = "id -un; id -Gn; pwd; echo $COLOR; cat /etc/hostname"
    options = ("-u", "ann", "-w", "/srv", "-e", "COLOR=red")
    said = delegated("exec", *options, "work", "--", "sh", "-c", script).stdout
    assert said == b"ann\nann adm\n/srv\nred\ndesk\n"
    delegated("exec", "work", "--", "sh", "-c", "exit 7", code=7)
    delegated("exec", "work", "--", "absent", code=127)
    try_the_terminal(delegated)
    delegated("exec", "work", "--", "sh", "-c", "echo 'words' | systemd-cat -t said")
    delegated("exec", "work", "--", "journalctl", "--sync")
    for running in (True, False):
        copy_there_and_back(delegated, running=running)
        assert "words" in text(delegated("logs", "--journal", "work").stdout)
        delegated("stop", "work")
    assert "Reached target" in text(delegated("logs", "work").stdout)
    told = [line.split()[2] for line in text(delegated("events", "work").stdout).splitlines()]
    assert told == ["created", "started", "ready", "stopped"]
    delegated("destroy", "work")


def try_the_terminal(oven: Oven) -> None:
    for verb, wanted in (("enter", b"ann\r\n"), ("console", b"desk login:")):
        words = ("-u", "ann") if verb == "enter" else ()
        terminal = Terminal(oven.line(verb, *words, "work"), cwd=oven.cwd, env=oven.environment)
        try:
            if verb == "console":
                terminal.until(b"Ctrl-] leaves")
            terminal.type(b"who''ami\r" if verb == "enter" else b"\r")
            terminal.until(wanted)
            terminal.type(b"exit\r" if verb == "enter" else b"\x1d")
            assert terminal.wait() == 0
            assert terminal.restored()
        finally:
            terminal.close()


def copy_there_and_back(oven: Oven, *, running: bool) -> None:
    """Copy a folder as its owner, whose files are the owner's again on the way out."""
    source = oven.home / f"source-{running}"
    source.mkdir()
    (source / "file").write_text("content")
    user = oven.home.stat().st_uid
    for path in (source, source / "file"):
        os.chown(path, user, user)
    oven("cp", "--owner", "ann", source, "work:/srv/there")
    oven("cp", "work:/srv/there", oven.home / f"back-{running}")
    oven("cp", "work:/etc/shadow", oven.home / f"shadow-{running}")
    for name in (f"back-{running}/file", f"shadow-{running}"):
        assert (oven.home / name).stat().st_uid == user
    assert (oven.home / f"back-{running}/file").read_text() == "content"
    stream = oven("cp", "work:/srv/there", "-").stdout
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        assert archive.getmember("there/file").uid == 1005


def test_time_travels(delegated: Oven, oven: Oven, tmp_path: Path) -> None:
    def inside(name: str, script: str) -> str:
        return text(delegated("exec", name, "--", "sh", "-ec", script).stdout)

    delegated("run", "--name", "year", "--network", "none", "debian-bookworm")
    inside("year", "rm -r /etc/apt; mkdir /etc/apt; echo mine >/etc/apt/x; rm /etc/motd")
    delegated("snapshot", "create", "year", "one")
    inside("year", "rm /etc/apt/x")
    delegated("clone", "year", "copy", "--snapshot", "one")
    delegated("snapshot", "restore", "--stop", "year", "one")
    assert inside("year", "cat /etc/apt/*; test ! -e /etc/motd") == "mine\n"
    changes = text(delegated("diff", "copy").stdout).splitlines()
    assert "A /etc/apt/x" in changes
    assert "D /etc/apt/keyrings/" in changes
    assert "D /etc/motd" in changes

    delegated("upgrade", "year", "--to", a_newer_template(oven, delegated, tmp_path))
    assert inside("year", "cat /etc/apt/* /usr/share/newer; test ! -e /etc/motd") == "mine\nyes\n"
    delegated("rollback", "--stop", "year")
    assert inside("year", "cat /etc/apt/*; test ! -e /usr/share/newer") == "mine\n"

    parcel = delegated.home / "year.oven.tar.zst"
    delegated("export", "year", "-o", parcel)
    delegated("import", parcel, "taken")
    delegated("rename", "taken", "other")
    assert text(delegated("diff", "other").stdout) == text(delegated("diff", "year").stdout)
    for name in ("year", "copy", "other"):
        delegated("destroy", "--force", name)


def a_newer_template(oven: Oven, user: Oven, folder: Path) -> str:
    recipe = project(folder, NEWER, name="newer")
    file = recipe.parent / "newer/overlay/usr/share/newer"
    file.parent.mkdir(parents=True)
    file.write_text("yes\n")
    oven("build", "--no-probe", recipe)
    oven("template", "export", "newer", "-o", user.home)
    [tarball] = user.home.glob("newer*.tar.zst")
    user("template", "import", tarball)
    return "newer"


def test_a_reboot_from_inside(delegated: Oven) -> None:
    delegated("run", "--name", "again", "--network", "none", "debian-bookworm")
    before = shown(delegated, "again")
    delegated("exec", "again", "--", "systemctl", "reboot")
    deadline = time.monotonic() + PATIENCE
    while (now := shown(delegated, "again"))["pid"] in {None, before["pid"]} or not now["ready"]:
        assert time.monotonic() < deadline, now
        time.sleep(0.1)
    delegated("destroy", "--force", "again")


def shown(oven: Oven, name: str) -> dict[str, object]:
    value = oven.json("show", name)
    assert isinstance(value, dict)
    return value


@pytest.mark.needs("program:pasta")
def test_a_network_reaches_out_and_in(networked: Oven) -> None:
    networked("run", "--name", "net", "-p", "18099:80", "-p", "18099:99/udp", "debian-bookworm")
    said = text(networked("exec", "net", "--", "ip", "-br", "address", "show", "eth0").stdout)
    assert said.startswith("eth0")
    listen = "exec timeout 20 perl -MIO::Socket -e '$s=IO::Socket::INET->new(LocalPort=>80,"
    listen += 'Listen=>1,ReuseAddr=>1); $c=$s->accept; print $c "from inside\\n";\''
    server = networked.start("exec", "net", "--", "sh", "-c", listen)
    answer = ""
    deadline = time.monotonic() + PATIENCE
    while "from inside" not in answer:
        assert time.monotonic() < deadline
        with suppress(OSError), socket.create_connection(("127.0.0.1", 18099), 1) as client:
            answer = text(client.recv(99))
    server.communicate(timeout=PATIENCE)
    networked("destroy", "--force", "net")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("-p", "80:80"), "cannot publish port 80"),
        (("--disk", "300M"), "cannot have a limit of its disk"),
        (("--inodes", "4096"), "cannot have a limit of its disk"),
        (("--network", "oven,address=10.213.0.9"), "one network, with the host's address"),
        (("--network", "oven,rate=10M"), "one network, with the host's address"),
        (("--network", "oven", "--network", "other"), "one network, with the host's address"),
        (("--network", "other"), "one network, with the host's address"),
    ],
)
def test_what_a_user_cannot_have_is_refused_when_asked_for(
    networked: Oven, options: tuple[str, ...], says: str
) -> None:
    code = 2 if "network" in says else 3
    assert says in networked.said("run", "--name", "no", *options, "debian-bookworm", code=code)
    assert says in networked.said("create", "no", *options, "debian-bookworm", code=code)
    assert says in networked.said("run", *options, "debian-bookworm", "--", "true", code=125)
    assert text(networked("list", "-q").stdout) == ""
    networked("create", "there", "debian-bookworm")
    before = networked.json("show", "there")
    assert says in networked.said("set", "there", *options, code=code)
    assert networked.json("show", "there") == before
    networked("destroy", "there")


def test_limits_without_controllers_are_refused_when_asked_for(delegated: Oven) -> None:
    if layout() is Layout.UNIFIED:
        pytest.skip("a user may have controllers on such a host")
    for option, value in (("--memory", "64M"), ("--cpus", "1"), ("--pids", "99")):
        create = ("create", "no", "--network", "none", option, value, "debian-bookworm")
        said = delegated.said(*create, code=3)
        assert f"an ordinary user cannot limit {option[2:].removesuffix('s')}" in said
        assert "systemd.unified_cgroup_hierarchy=1" in said


def test_folders_and_volumes_of_the_user_are_shown(
    delegated: Oven, somebody: Account, disk: Path
) -> None:
    mine = disk / "mine"
    mine.mkdir()
    (mine / "file").write_text("mine\n")
    for path in (mine, mine / "file"):
        os.chown(path, somebody.uid, somebody.uid)
    script = """
        stat -c '%U %a' /srv/mine /srv/mine/file /srv/etc/passwd /data
        cat /srv/mine/file; echo new >/srv/mine/new; chown 33 /srv/mine/new; echo kept >>/data/kept
        echo no >/srv/etc/no || echo refused
        echo no >/srv/ro/no || echo refused
    """
    options = ("--bind", "/etc:/srv/etc", "--bind", f"{mine}:/srv/mine",
               "--bind", f"{mine}:/srv/ro:ro", "--volume", "kept:/data")  # fmt: skip
    run = ("--network", "none", *options, "debian-bookworm")
    said = delegated("run", *run, "--", "sh", "-c", script)
    assert text(said.stdout).splitlines() == [
        "root 755", "root 644", "nobody 644", "root 755", "mine", "refused", "refused",
    ]  # fmt: skip
    assert (mine / "new").stat().st_uid != somebody.uid
    delegated("run", "--name", "shows", *run)
    seen = delegated("exec", "shows", "--", "cat", "/srv/mine/new", "/data/kept").stdout
    assert seen == b"new\nkept\n"
    assert "is used by `shows`" in delegated.said("volume", "rm", "kept", code=7)
    delegated("destroy", "--force", "shows")
    delegated("volume", "rm", "kept")


def test_devices_come_and_go_while_it_runs(networked: Oven) -> None:
    networked("run", "--name", "mine", "--network", "none", "debian-bookworm")
    opened = ("exec", "mine", "--", "sh", "-c", "test -c /dev/net/tun && exec 3<>/dev/net/tun")
    networked(*opened, code=1)
    assert "note:" not in networked.said("set", "mine", "--feature", "tun")
    networked(*opened)
    networked("restart", "mine")
    networked(*opened)
    assert "note:" not in networked.said("set", "mine", "--feature", "none")
    networked(*opened, code=1)
    networked("destroy", "--force", "mine")


def test_a_tun_device_that_may_not_be_used_is_told(delegated: Oven) -> None:
    if Path("/dev/net/tun").stat().st_mode & 0o006:
        pytest.skip("everybody may use it here")
    said = delegated.said("create", "no", "debian-bookworm", code=3)
    assert "chmod 0666 /dev/net/tun" in said


def test_two_users_do_not_meet(plain: Oven, oven: Oven) -> None:
    assert text(plain("list").stdout) != ""
    oven("create", "roots", "debian-bookworm")
    assert "roots" not in text(plain("list").stdout)
    oven("destroy", "roots")
