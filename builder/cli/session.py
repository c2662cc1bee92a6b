"""Whose containers a command is about: root's, or those of the ordinary user who calls."""

from builder.host.places import Places


def places_of(name: str = "") -> Places:
    """Find where the user's containers are, able to work on them, above all on that one."""
    places = seen_places()
    if places.ordinary:
        from builder.runtime.record import rootless

        rootless.enter(places, name)
    return places


def seen_places() -> Places:
    """Find where the user's containers are, able to see what they use."""
    places = Places.of_user()
    if places.ordinary:
        from builder.host.kernel import sessions

        sessions.enter()
    return places
