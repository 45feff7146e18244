"""What a service refuses to whoever asks it for something."""


class ServiceError(Exception):
    """What a caller asked of the service cannot be done. The message says why."""


class NotLearning(ServiceError):
    """Another service learns this model: it has to be asked."""
