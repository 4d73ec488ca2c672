"""What goes wrong."""


class PortkeepError(OSError):
    """Ports were refused; ``errno`` says how, and the text which port and who has it."""


class UnprotectedWarning(UserWarning):
    """The ports are free, but nothing keeps others from taking them."""
