"""Rights: whose a file is, and who may do what with it."""

from typing import Annotated

import msgspec

from builder.model.names import AbsolutePath, AccountName, FileMode
from builder.model.value import Value

FileOwner = AccountName | Annotated[int, msgspec.Meta(ge=0, le=59999)]


class FileRights(Value, frozen=True, kw_only=True):
    """Whose a file or folder of the tree is, and who may do what with it.

    What brings it does not matter: the overlay, a package, `[[fetch]]`, an account. Scripts run
    later. What is not said stays as it is.
    """

    path: AbsolutePath
    """Where it is in the tree; a link is refused."""
    owner: FileOwner | None = None
    """The account, by name or number."""
    group: FileOwner | None = None
    """The group, by name or number; that of the account where only `owner` is said."""
    mode: FileMode | None = None
    """Its permissions, set-id bits among them."""
