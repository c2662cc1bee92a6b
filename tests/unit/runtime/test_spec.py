"""The OCI configuration: what a container may and what it may not."""

import itertools
import os
import subprocess

import msgspec
import pytest

from builder.model.errors import RecipeError
from builder.runtime.bundle import lookup
from builder.runtime.bundle.facts import unit_of
from builder.runtime.bundle.process import Process
from builder.runtime.bundle.seccomp import profile
from builder.runtime.bundle.spec import HostFacts, Shown, configuration, init_environment
from builder.runtime.record.container import Container, Limits, check_name
from tests.support.containers.oci import CONTAINER, HOST


class Linux(msgspec.Struct):
    namespaces: list[dict[str, str]]
    uidMappings: list[dict[str, int]]  # noqa: N815  # OCI's names
    gidMappings: list[dict[str, int]]  # noqa: N815
    resources: dict[str, dict[str, int]]
    seccomp: dict[str, object]


class Mount(msgspec.Struct):
    destination: str
    type: str
    options: list[str]


class Run(msgspec.Struct):
    env: list[str]
    capabilities: dict[str, list[str]]
    rlimits: list[dict[str, str | int]]
    cwd: str


class Config(msgspec.Struct):
    process: Run
    mounts: list[Mount]
    linux: Linux


def config(
    container: Container = CONTAINER, process: Process | None = None, host: HostFacts = HOST
) -> Config:
    made = configuration(container, process or Process(("true",)), host)
    return msgspec.json.decode(msgspec.json.encode(made), type=Config)


def test_every_namespace_is_new() -> None:
    kinds = [entry["type"] for entry in config().linux.namespaces]
    assert sorted(kinds) == ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"]
    assert all(set(entry) == {"type"} for entry in config().linux.namespaces)


def test_ids_are_its_own_block() -> None:
    block = [{"containerID": 0, "hostID": 589824, "size": 65536}]
    assert config().linux.uidMappings == block
    assert config().linux.gidMappings == block


def test_capabilities_are_never_inherited() -> None:
    granted = config().process.capabilities
    assert set(granted) == {"bounding", "effective", "permitted"}
    for forbidden in ("SYS_MODULE", "SYS_RAWIO", "SYS_TIME", "SYSLOG", "BPF", "AUDIT_CONTROL"):
        assert f"CAP_{forbidden}" not in granted["bounding"]


@pytest.mark.parametrize(("unified", "kind"), [(True, "cgroup"), (False, "cgroup2")])
def test_guest_sees_version_2(*, unified: bool, kind: str) -> None:
    host = HostFacts(
        rootfs="/r",
        cgroup="/c",
        unified=unified,
        rlimits=(),
        machine="x86_64",
        shown=(Shown("/h", "/run/host", ("ro",)),),
    )
    made = config(host=host)
    mount = next(m for m in made.mounts if m.destination == "/sys/fs/cgroup")
    assert mount.type == kind
    assert "rw" in mount.options
    order = [m.destination for m in made.mounts]
    assert order.index("/run") < order.index("/run/host")
    assert "ro" in made.mounts[order.index("/run/host")].options


def test_limits_become_resources() -> None:
    limited = msgspec.structs.replace(CONTAINER, limits=Limits(memory=1 << 28, pids=9, cpus=1.5))
    assert config(limited).linux.resources == {
        "memory": {"limit": 1 << 28},
        "pids": {"limit": 9},
        "cpu": {"quota": 150000, "period": 100000},
    }
    assert config().linux.resources == {}


def test_environment_is_clean_and_the_caller_wins() -> None:
    process = Process(("true",), env=("PATH=/x", "A=b=c"))
    assert sorted(config(process=process).process.env) == ["A=b=c", "PATH=/x", "container=oven"]
    words = init_environment(CONTAINER)
    assert f"container_uuid={'0' * 32}" in words


def test_terminal_injection_is_filtered_on_32_bits() -> None:
    rules = profile("x86_64")["syscalls"]
    assert isinstance(rules, list)
    ioctls = [rule["args"][0] for rule in rules if rule["names"] == ["ioctl"]]
    assert {rule["valueTwo"] for rule in ioctls} == {0x5412, 0x541C}
    assert all(rule["value"] == 0xFFFFFFFF for rule in ioctls)
    assert "architectures" not in profile("riscv64")


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a.b", "a/b", "..", "a" * 64, "a\n"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="cannot name a container"):
        check_name(name)


def test_good_names() -> None:
    assert list(itertools.starmap(check_name, [("a",), ("web-2",), ("a" * 63,)]))


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/proc/self/fd/7", ""])
def test_bad_working_folders_are_refused(path: str) -> None:
    with pytest.raises(RecipeError, match="cannot be the working folder"):
        lookup.check_folder(path)


@pytest.mark.parametrize("path", ["/srv/a", "/srv//b/", "/a b/.c-d/é", "/.x/y", "/x/\udcff"])
def test_units_of_mounts_are_called_as_systemd_calls_them(path: str) -> None:
    done = subprocess.run(
        ("systemd-escape", "--path", "--suffix=mount", os.fsencode(path)),
        capture_output=True, check=True,
    )  # fmt: skip
    assert unit_of(path) == done.stdout.decode().rstrip("\n")
