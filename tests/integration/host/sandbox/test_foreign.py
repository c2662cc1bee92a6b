"""Programs of other architectures: the machine is asked before anything is downloaded."""

import subprocess
from pathlib import Path

import pytest

from builder.host.sandbox.binfmt import host_arch, program, require_programs_of
from builder.model.errors import HostError
from builder.model.recipe import Arch
from tests.support.needs import needs
from tests.support.oven import Oven

pytestmark = needs("program:readelf")


def runs(arch: Arch) -> bool:
    try:
        require_programs_of(arch)
    except HostError as error:
        assert str(arch) in error.problem
        assert "qemu-user-static" in (error.hint or "")
        return False
    return True


def test_own_programs_start() -> None:
    assert runs(host_arch())


@pytest.mark.parametrize("arch", list(Arch))
def test_programs_are_such_as_others_know(arch: Arch, tmp_path: Path) -> None:
    """What is asked for would be taken for a program of that architecture."""
    (tmp_path / "program").write_bytes(program(arch))
    told = subprocess.run(
        ["readelf", "-hl", tmp_path / "program"], capture_output=True, text=True, check=True
    )
    assert told.stderr == ""
    names = {
        Arch.AMD64: "X86-64",
        Arch.ARM64: "AArch64",
        Arch.ARMHF: "ARM",
        Arch.I386: "80386",
        Arch.PPC64EL: "PowerPC64",
        Arch.RISCV64: "RISC-V",
        Arch.S390X: "S/390",
    }
    assert names[arch] in told.stdout
    assert "LOAD" in told.stdout


def test_a_build_is_refused_before_anything_is_downloaded(tmp_path: Path) -> None:
    foreign = next((arch for arch in Arch if not runs(arch)), None)
    if foreign is None:
        pytest.skip("this machine runs programs of every architecture")
    recipe = tmp_path / "minimum.toml"
    recipe.write_text(
        f'[template]\nname = "minimum"\nsummary = "x"\n[base]\ndistro = "debian"\n'
        f'suite = "bookworm"\narch = ["{foreign}"]\n'
    )
    done = Oven(tmp_path / "home")("build", recipe, "--arch", foreign, code=3)
    assert f"cannot run the programs of `{foreign}`".encode() in done.stderr
    assert b"resolve" not in done.stderr
    assert not (tmp_path / "home/cache/apt").exists()
