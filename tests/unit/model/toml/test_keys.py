"""Keys and tables of a recipe that are unknown or missing, and the very words about them."""

import pytest

from tests.support.builds.mistakes import cases, complaint

MISTAKES = cases(
    r"""
=== unknown key
<good>
sutie = 1
---
error: unknown key `sutie`
  --> r.toml:6:1
  |
6 | sutie = 1
  | ^^^^^
hint: did you mean `suite`?

=== unknown table
<good>
[pakages]
install = []
---
error: unknown key `pakages`
  --> r.toml:6:2
  |
6 | [pakages]
  |  ^^^^^^^
hint: did you mean `packages`?

=== unknown array table
<good>
[[users]]
name = "a"
---
error: unknown key `users`
  --> r.toml:6:3
  |
6 | [[users]]
  |   ^^^^^
hint: did you mean `user`?

=== unknown key nested
<good>
[[user]]
name="a"
[[user]]
name="b"
ssh_keys=[]
---
error: unknown key `ssh_keys`
   --> r.toml:10:1
   |
10 | ssh_keys=[]
   | ^^^^^^^^
hint: did you mean `ssh-keys`?

=== key of top in table
[template]
name = "x"
from = "debian-bookworm"
---
error: unknown key `from`
  --> r.toml:3:1
  |
3 | from = "debian-bookworm"
  | ^^^^
hint: `from` stands at the top level, above the first `[table]`

=== key of another table
<good>
install = ["nginx"]
---
error: unknown key `install`
  --> r.toml:6:1
  |
6 | install = ["nginx"]
  | ^^^^^^^
hint: `install` belongs in `[packages]`

=== unknown hopeless
<good>
[packages]
zzz = 1
---
error: unknown key `zzz`
  --> r.toml:7:1
  |
7 | zzz = 1
  | ^^^
hint: known here: install, remove, hold, recommends, documentation, languages

=== unknown in parameters
<good>
[parameters.a]
default = 1
[parameters.b]
default = 2
defualt = 3
---
error: unknown key `defualt`
   --> r.toml:10:1
   |
10 | defualt = 3
   | ^^^^^^^
hint: did you mean `default`?

=== key of probe
<good>
[probe]
may_fail = ["a.service"]
---
error: unknown key `may_fail`
  --> r.toml:7:1
  |
7 | may_fail = ["a.service"]
  | ^^^^^^^^
hint: did you mean `may-fail`?

=== span of probe
<good>
[probe]
timeout = "3min"
---
error: `3min` is not a span of time
  --> r.toml:7:11
  |
7 | timeout = "3min"
  |           ^^^^^^
hint: a number and `s`, `m` or `h`, such as `90s` or `5m`

=== unit of probe
<good>
[probe]
may-fail = ["smbd"]
---
error: `smbd` is not a systemd unit name
  --> r.toml:7:13
  |
7 | may-fail = ["smbd"]
  |             ^^^^^^
hint: with its suffix: `nginx.service`

=== missing table
[base]
distro="debian"
suite="sid"
---
error: the table `[template]` is missing
  --> r.toml:1:1
  |
1 | [base]
  | ^
hint: add `[template]` with `name`

=== missing key
[template]
name = "x"
[base]
distro = "debian"
---
error: the key `suite` is missing in `[base]`
  --> r.toml:3:2
  |
3 | [base]
  |  ^^^^
hint: add `suite = "…"`

=== missing in array
<good>
[[user]]
uid = 5
---
error: the key `name` is missing in `[[user]]`
  --> r.toml:6:3
  |
6 | [[user]]
  |   ^^^^
hint: add `name = "…"`

=== key with newline
"a\nb" = 1
[template]
name = "x"
---
error: unknown key `a\nb`
  --> r.toml:1:1
  |
1 | "a\nb" = 1
  | ^^^^^^
hint: known here: template, base, from, tarball, packages, debconf, group, repository and 23 more

=== key with backtick
"a`b" = 1
[template]
name = "x"
---
error: unknown key `a`b`
  --> r.toml:1:1
  |
1 | "a`b" = 1
  | ^^^^^
hint: known here: template, base, from, tarball, packages, debconf, group, repository and 23 more
"""
)


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_shown_where_it_stands(text: str, expected: str) -> None:
    assert complaint(text) == expected
