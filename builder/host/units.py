"""Units: what the systemd of the host, or an ordinary user's own, does for Oven at its time."""

import contextlib
import pwd
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from builder.host.places import Places
from builder.host.programs import PROMPT, Command, check, on_host
from builder.host.trees import durable
from builder.model.errors import HostError
from builder.model.unit_file import Call, Section, UnitFile, Words, properties

_LINGERING = Path("/var/lib/systemd/linger")
"""Has a file for each user whose systemd starts with the host (loginctl(1), `enable-linger`)."""


class Systemd(msgspec.Struct, frozen=True):
    """A systemd that can be asked to do things."""

    folder: Path
    """Where units are written for it; need not be there."""
    sign: Path
    """There while it runs (sd_booted(3))."""
    runtime: Path
    """Where it makes the runtime folders of services (systemd.exec(5), `RuntimeDirectory=`)."""
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    """What its programs need to find it."""

    @property
    def runs(self) -> bool:
        """Tell whether it can be asked for anything."""
        return self.sign.exists()

    def has(self, files: Mapping[str, UnitFile]) -> bool:
        """Tell whether these units are written."""
        paths = [(self.folder / name, file.text().encode()) for name, file in files.items()]
        return all(path.is_file() and path.read_bytes() == data for path, data in paths)

    def enable(self, files: Mapping[str, UnitFile], name: str, *, now: bool = False) -> None:
        """Write units and enable that one.

        Where systemd does not take them they are removed again, and the next command tries anew.
        """
        paths = {self.folder / unit: file.text() for unit, file in files.items()}
        try:
            with durable.disk_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                for path, text in paths.items():
                    durable.replace(path, text.encode())
                    path.chmod(0o644)
            self._ctl("daemon-reload")
            # By its path it is found also by one that does not look into this folder.
            self._ctl("enable", *(["--now"] if now else []), str(self.folder / name))
        except BaseException:
            for path in paths:
                path.unlink(missing_ok=True)
            raise

    def disable(self, units: Iterable[str], name: str, *, now: bool = False) -> None:
        """Disable that unit, and remove the files of all; what is not there is fine."""
        if not self.runs or not (self.folder / name).exists():
            return
        self._ctl("disable", *(["--now"] if now else []), name)
        for unit in units:
            (self.folder / unit).unlink(missing_ok=True)
        self._ctl("daemon-reload")

    def hold(self, name: str, section: Section) -> None:
        """Have a service that is there from now on, and is gone with this run of systemd.

        One that is there already stays as it is. It never fails: nothing hangs on it yet.
        """
        if (self.runtime / name).is_dir():
            return
        words = [f"--property={one}" for one in properties(section)]
        argv = (
            "systemd-run", *self.options, "--quiet", "--no-block", "--remain-after-exit",
            f"--unit={name}", f"--property=RuntimeDirectory={name}", *words, "true",
        )  # fmt: skip
        with contextlib.suppress(HostError):
            on_host(Command(argv, env=self.environment, limit=PROMPT))

    def _ctl(self, *words: str) -> None:
        check(on_host, "systemctl", *self.options, *words, env=self.environment)


def systemd_of(places: Places) -> Systemd:
    """Find the host's, or an ordinary user's own (user@.service(5))."""
    if not places.ordinary:
        return Systemd(Path("/etc/systemd/system"), Path("/run/systemd/system"), Path("/run"))
    runtime = Path(f"/run/user/{places.user}")
    environment = {
        "XDG_RUNTIME_DIR": str(runtime),
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime / 'bus'}",
    }
    folder = _home(places.user) / ".config/systemd/user"
    return Systemd(folder, runtime / "systemd/private", runtime, ("--user",), environment)


def name_of(places: Places, kind: str) -> str:
    """Name a unit; each home of Oven has its own."""
    return kind if _is_usual(places) else f"{kind}-{places.mark}"


def ensure(
    places: Places, systemd: Systemd, files: Mapping[str, UnitFile], name: str, *, now: bool = False
) -> str | None:
    """Have units there and that one enabled; give what the user should know if they were not."""
    if systemd.has(files):
        return None
    systemd.enable(files, name, now=now)
    return "\n".join((f"wrote and enabled `{systemd.folder / name}`", *_needs_login(places)))


def environment(places: Places) -> Section:
    """Give the `Environment=` with which a command finds the same places, if it needs one."""
    return () if _is_usual(places) else (("Environment", Words((f"OVEN_HOME={places.data}",))),)


def cron_line(places: Places, when: str, *words: str) -> str:
    """Write a call of `oven` as a line of crontab(5)."""
    home = "" if _is_usual(places) else f"OVEN_HOME={shlex.quote(str(places.data))} "
    line = f"{when} {home}{shlex.join((*program(), *words))}"
    return line.replace("%", r"\%")  # one that is not escaped ends the command


def command(*words: str) -> Call:
    """Give a call of `oven` as a value of a unit."""
    return Call((*program(), *words))


def program() -> tuple[str, ...]:
    """Give the words that call `oven` here."""
    beside = Path(sys.executable).with_name("oven")
    return (str(beside),) if beside.exists() else (sys.executable, "-m", "builder")


def _needs_login(places: Places) -> Iterator[str]:
    """Tell a user whose systemd starts only when that user logs in."""
    if not places.ordinary:
        return
    account = _account(places.user)
    name = account.pw_name if account else str(places.user)
    if not (_LINGERING / name).exists():
        yield (
            "your systemd starts when you log in and ends when you have logged out; to have it"
            f" start with the host, as root: loginctl enable-linger {name}"
        )


def _is_usual(places: Places) -> bool:
    if not places.ordinary:
        return places.data == Path("/var/lib/oven")
    return places.data == _home(places.user) / ".local/share/oven"


def _home(user: int) -> Path:
    """Give what a user's systemd takes for the home folder, whatever a shell's `HOME` says."""
    account = _account(user)
    return Path(account.pw_dir) if account else Path.home()


def _account(user: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(user)
    except KeyError:
        return None
