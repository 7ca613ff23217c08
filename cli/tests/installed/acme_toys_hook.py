"""A hook plugin that fails in the middle of a search."""

from balenas_core.plugins.hooks import hookimpl


@hookimpl
def balenas_epoch_ended(event):
    raise RuntimeError(f"cannot reach the server in epoch {event.epoch}")
