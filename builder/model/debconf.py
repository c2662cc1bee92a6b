"""Answers to what Debian's packages ask when they are configured."""

from typing import Annotated

import msgspec

from builder.model.value import Value

Selection = Annotated[
    str,
    msgspec.Meta(
        pattern=(
            r"^[a-z0-9][a-z0-9+.-]+[ \t]+[^\s]+[ \t]+"
            r"(boolean|select|multiselect|string|note|text)([ \t][^\x00-\x1f\x7f]*)?\Z"
        ),
        title="a line of debconf-set-selections",
        description=(
            "package, question, type and answer: `postfix postfix/main_mailer_type select No"
            " configuration`; none of type `password`, which every container would have"
        ),
    ),
]


class Debconf(Value, frozen=True, kw_only=True):
    """Answers to questions that packages ask, given before they are configured."""

    selections: tuple[Selection, ...] = ()
    """Lines as debconf-set-selections(1) takes them, for packages that this recipe installs."""
