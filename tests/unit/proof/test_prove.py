"""Two builds are compared down to the first byte that differs."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard

from builder.cli.building.prove import _not_proven
from builder.host.sandbox.variations import why_ids_stay
from builder.model.trial import BuildTrial, Conditions, MadeStage, TrialOutcome
from builder.proof.differing import first_difference, first_member, shown
from builder.proof.prove import Proof, compare
from builder.proof.trial import PROGRAM
from builder.proof.variations import plan_conditions
from builder.store import Store
from tests.support.oven import CHECKOUT

Change = Callable[[Path], object]


@pytest.mark.parametrize(
    ("one", "other", "offset"),
    [
        (b"abc", b"abd", 2),
        (b"abc", b"xbc", 0),
        (b"abc", b"abcd", 3),
        (b"", b"a", 0),
        (b"x" * 5000 + b"1" + b"y" * 5000, b"x" * 5000 + b"2" + b"z" * 5000, 5000),
    ],
)
def test_the_first_byte_that_differs(one: bytes, other: bytes, offset: int) -> None:
    assert first_difference(one, other)[0] == offset
    assert first_difference(other, one)[0] == offset


def test_bytes_are_shown_as_digits_and_text() -> None:
    assert shown(b"a\n") == "61 0a  |a.|"
    assert shown(b"") == "the end of the file"


def tree(store: Store, change: Change) -> str:
    with store.draft() as draft:
        root = draft / "root"
        (root / "etc").mkdir(parents=True)
        (root / "var/lib/dpkg/info").mkdir(parents=True)
        (root / "var/lib/dpkg/info/tool.list").write_text("/.\n/etc\n/etc/tool.conf\n")
        (root / "etc/tool.conf").write_text("made at 1000\n")
        (root / "etc/motd").write_text("hello\n")
        change(root)
        return store.keep_tree(root, epoch=10)


def nothing(_: Path) -> None:
    """Leave the tree as it is."""


def stages(
    tmp_path: Path, change: Change, *, stage: str = "install", **inputs: object
) -> tuple[tuple[MadeStage, ...], tuple[MadeStage, ...], tuple[Store, Store]]:
    """Make two builds of two stages; the second one's second stage makes a changed tree."""
    stores = Store(tmp_path / "1"), Store(tmp_path / "2")
    builds = []
    for store, difference in zip(stores, (nothing, change), strict=True):
        base = MadeStage(
            stage="bootstrap", slot="a/x", inputs={}, result={"tree": tree(store, nothing)}
        )
        result: dict[str, object] = {"tree": tree(store, difference)}
        builds.append((base, MadeStage(stage=stage, slot="a/x", inputs=inputs, result=result)))
    return builds[0], builds[1], stores


def found(tmp_path: Path, change: Change, **more: object) -> Proof:
    return compare(*stages(tmp_path, change, **more))  # type: ignore[arg-type]  # passed through


def test_equal_builds_are_proven(tmp_path: Path) -> None:
    proof = found(tmp_path, nothing)
    assert proof.proven
    assert [(one.stage, one.same) for one in proof.stages] == [
        ("bootstrap x", True),
        ("install x", True),
    ]


def test_a_differing_file_is_named_with_its_first_bytes(tmp_path: Path) -> None:
    proof = found(tmp_path, lambda root: (root / "etc/tool.conf").write_text("made at 1234\n"))
    assert not proof.proven
    assert [(one.stage, one.same) for one in proof.stages] == [
        ("bootstrap x", True),
        ("install x", False),
    ]
    (file,) = proof.files
    assert (file.path, file.what, file.offset) == ("etc/tool.conf", ("content",), 9)
    assert file.first == "30 30 30 0a  |000.|"
    assert file.second == "32 33 34 0a  |234.|"
    assert file.suspects == ("the maintainer scripts of tool, whose file it is",)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda root: (root / "etc/motd").chmod(0o600), "mode 0644 and 0600"),
        (lambda root: os.utime(root / "etc/motd", (3, 3)), "mtime 10 and 3"),
        (lambda root: (root / "etc/motd").write_text("hello again\n"), "size 6 and 12, content"),
        (lambda root: (root / "etc/motd").unlink(), "only in the first build"),
        (
            lambda root: ((root / "etc/motd").unlink(), (root / "etc/motd").symlink_to("x")),
            "kind file and symlink",
        ),
    ],
)
def test_each_aspect_is_named(tmp_path: Path, change: Change, what: str) -> None:
    proof = found(tmp_path, change)
    file = next(file for file in proof.files if file.path == "etc/motd")
    assert ", ".join(file.what).startswith(what)


def test_a_link_out_of_the_tree_is_not_followed(tmp_path: Path) -> None:
    def aim_out(root: Path) -> None:
        (root / "etc/motd").unlink()
        (root / "etc/motd").symlink_to(tmp_path / "secret")

    (tmp_path / "secret").write_text("secret")
    proof = found(tmp_path, aim_out)
    assert "secret" not in "".join(file.first + file.second for file in proof.files)


def test_in_a_recipes_stage_its_own_files_are_suspected(tmp_path: Path) -> None:
    def scribble(root: Path) -> None:
        (root / "etc/motd").write_text("other\n")
        (root / "etc/new").write_text("x")

    proof = found(
        tmp_path,
        scribble,
        stage="customize",
        overlay=[{"path": "etc/motd"}],
        scripts=[{"path": "setup"}],
    )
    assert {file.path: file.suspects for file in proof.files} == {
        "etc/motd": ("overlay/etc/motd",),
        "etc/new": ("the script `setup`",),
    }
    error = _not_proven("web", proof)
    assert error.exit_code == 6
    assert error.problem == "`web` is not reproducible: `customize x` differs in 2 paths"
    assert error.hint == "look at overlay/etc/motd and the script `setup`"
    assert "first" in error.output


def test_many_differences_are_counted(tmp_path: Path) -> None:
    proof = found(tmp_path, lambda root: [(root / f"f{n}").write_text("") for n in range(200)])
    assert (proof.count, len(proof.files)) == (200, 100)
    assert "and 195 more" in _not_proven("web", proof).output


def test_a_stage_that_was_given_something_else_is_not_to_blame(tmp_path: Path) -> None:
    first, second, stores = stages(tmp_path, lambda root: (root / "etc/x").write_text(""))
    other = MadeStage(stage="install", slot="a/x", inputs={"tool": "2"}, result=second[1].result)
    proof = compare(first, (second[0], other), stores)
    assert proof.inputs == ("tool",)
    assert "was not given the same: tool" in _not_proven("web", proof).output


def test_a_stage_that_only_one_build_has(tmp_path: Path) -> None:
    first, second, stores = stages(tmp_path, nothing)
    assert not compare(first, second[:1], stores).proven


def packed(path: Path, members: dict[str, bytes], *, mode: int = 0o644, frames: int = 1) -> Path:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))
    raw = data.getvalue()
    size = -(-len(raw) // frames)
    compress = zstandard.ZstdCompressor().compress
    path.write_bytes(b"".join(compress(raw[at : at + size]) for at in range(0, len(raw), size)))
    return path


def test_the_first_member_that_differs(tmp_path: Path) -> None:
    one = packed(tmp_path / "1", {"a": b"same", "b": b"x" * 2_000_000 + b"1", "c": b"1"})
    other = packed(tmp_path / "2", {"a": b"same", "b": b"x" * 2_000_000 + b"2", "c": b"2"})
    difference = first_member(one, other)
    assert (difference.member, difference.offset) == ("b", 2_000_000)
    assert (difference.first, difference.second) == ("31  |1|", "32  |2|")


def test_a_member_that_one_tarball_lacks(tmp_path: Path) -> None:
    one, other = packed(tmp_path / "1", {"a": b""}), packed(tmp_path / "2", {"a": b"", "b": b""})
    assert first_member(one, other).what == ("only in the second build",)
    difference = first_member(one, packed(tmp_path / "3", {"a": b""}, mode=0o600))
    assert difference.what == ("mode 0644 and 0600",)


def test_tarballs_that_are_only_compressed_otherwise(tmp_path: Path) -> None:
    one = packed(tmp_path / "1", {"a": b"x" * 90_000})
    difference = first_member(one, packed(tmp_path / "2", {"a": b"x" * 90_000}, frames=3))
    assert difference.what == ("only how it is compressed",)
    assert difference.offset is not None


def test_a_trial_that_fails_tells_why(tmp_path: Path) -> None:
    trial = BuildTrial(
        recipe=str(tmp_path / "gone.toml"),
        lock=str(tmp_path / "lock"),
        cache=str(tmp_path / "cache"),
        driver="native",
        conditions=Conditions(jobs=2),
    )
    argv = [sys.executable, "-m", PROGRAM]
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(argv, input=msgspec.json.encode(trial), capture_output=True, env=env)
    assert done.returncode == 0, done.stderr
    failure = msgspec.json.decode(done.stdout, type=TrialOutcome).failure
    assert failure is not None
    assert (failure.problem, failure.code) == ("this file is not there", 2)


def test_what_cannot_be_had_otherwise_is_said(tmp_path: Path) -> None:
    plan = plan_conditions(tmp_path, tmp_path / "disk", 10**15, jobs=1)
    assert plan.disk is None
    assert "order in folders" in dict(plan.kept)
    assert "order in folders" not in [row[0] for row in plan.rows]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert "may not enter" in str(why_ids_stay(closed)) or os.geteuid() != 0


def test_a_known_cause_is_said_and_comes_last(tmp_path: Path) -> None:
    def install_database(root: Path) -> None:
        (root / "var/lib/mysql").mkdir()
        for n in range(150):
            (root / f"var/lib/mysql/t{n}").write_text("")

    proof = found(tmp_path / "alone", install_database)
    folder = next(file for file in proof.files if file.path == "var/lib/mysql")
    assert not folder.known  # only what is in it
    assert (proof.count, list(proof.known.values())) == (151, [150])
    error = _not_proven("web", proof)
    assert "150 of them always differ: MariaDB and MySQL write random ids" in error.output

    def install_both(root: Path) -> None:
        install_database(root)
        (root / "etc/ldap/slapd.d").mkdir(parents=True)
        (root / "etc/ldap/slapd.d/cn=config.ldif").write_text("")

    both = found(tmp_path / "both", install_both)
    assert [bool(file.known) for file in both.files[:4]] == [False, False, False, True]
    assert len(both.known) == 2
