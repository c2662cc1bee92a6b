"""A static program that makes any system call by its number, in the 64-bit or the 32-bit way."""

import subprocess
from pathlib import Path

# `calls 64 NUMBER ARGUMENT...`, `calls 32 NUMBER ARGUMENT...`, and `calls mux CALL ARGUMENT...` for
# socketcall(2), which takes its arguments from memory. It prints what the kernel answers: errors
# are negative.
SOURCE = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static long wide(long nr, long *a)
{
    long result;
    register long r10 __asm__("r10") = a[3];
    register long r8 __asm__("r8") = a[4];
    __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]),
        "r"(r10), "r"(r8) : "rcx", "r11", "memory");
    return result;
}

static long narrow(long nr, long *a)
{
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"((int)nr), "b"((int)a[0]), "c"((int)a[1]),
        "d"((int)a[2]), "S"((int)a[3]), "D"((int)a[4]) : "r8", "r9", "r10", "r11", "memory");
    return result;
}

int main(int argc, char **argv)
{
    long a[6] = {0}, nr = strtol(argv[2], 0, 0), result;
    for (int i = 3; i < argc && i < 8; i++)
        a[i - 3] = strtoul(argv[i], 0, 0);
    if (strcmp(argv[1], "mux") == 0) {
        int *low = mmap(0, 4096, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        for (int i = 0; i < 5; i++)
            low[i] = (int)a[i];
        long call[6] = {nr, (long)low};
        result = narrow(102, call);
    } else {
        result = strcmp(argv[1], "32") == 0 ? narrow(nr, a) : wide(nr, a);
    }
    printf("%ld\n", result);
    return 0;
}
"""


def build(folder: Path) -> Path:
    """Compile it into a folder; give the program."""
    source = folder / "calls.c"
    source.write_text(SOURCE)
    program = folder / "calls"
    argv = ["gcc", "-static", "-O1", "-o", str(program), str(source)]
    subprocess.run(argv, check=True, capture_output=True)
    return program
