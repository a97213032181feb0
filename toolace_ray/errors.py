"""What may go wrong through no fault of ours, said in one sentence that names the file, the key and the remedy."""


class UserError(Exception):
    """The user's input cannot be used; the message is complete and the command ends with exit code 2."""


class RunStopped(Exception):
    """A run can't go on and what it made is kept; the message is complete and the command ends with exit code 1."""
