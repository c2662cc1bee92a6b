"""Text of somebody else's, which is shown to a person and can do nothing to the terminal."""


def visible(text: str) -> str:
    """Replace what is no plain text, such as what moves the cursor or colors."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def visible_lines(text: str) -> str:
    """Do the same with text of several lines, in which tabs may be."""
    return "".join(char if char in "\t\n" else visible(char) for char in text)
