"""Downloads: bounded in size, resumable, checked."""

from builder.model.progress import Reporter


class Net:
    """Placeholder until the fetch helper delivers."""

    def __init__(self, report: Reporter) -> None:
        self.report = report
