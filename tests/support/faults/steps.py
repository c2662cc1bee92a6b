"""A process that dies when it is about to change something for the n-th time."""

START = """
from builder.runtime.lifecycle import control
control.start(places, "test", Silent())
"""


def at_each_step(verb: str, step: int, number: int) -> str:
    """Make a process die of a signal when it is about to do its n-th call that changes things."""
    return f"""
import os, sys
left = {step}
def watch(event, arguments):
    global left
    changing = event in {{"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.fork", "os.chown",
                          "subprocess.Popen", "shutil.rmtree", "os.chmod"}}
    if changing or (event == "open" and isinstance(arguments[2], int) and arguments[2] & 3):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), {number})
sys.addaudithook(watch)
{verb}
print("came through")
"""
