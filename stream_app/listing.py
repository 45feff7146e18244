"""A line of a listing of checkpoints, for people and programs."""

from checkpoints.checkpoint import Summary
from stream_app.progressive.scores import part


def short(summary: Summary) -> dict[str, object]:
    """A line of a listing."""
    manifest = summary.manifest
    total = part(manifest.metrics, "total") if manifest is not None else {}
    return {
        "id": summary.id,
        "created_at": summary.note.created_at if summary.note is not None else None,
        "why": summary.note.why if summary.note is not None else None,
        "position": manifest.position if manifest is not None else None,
        "parent": manifest.parent if manifest is not None else None,
        "average_loss": total.get("average_loss"),
        "examples": total.get("examples"),
        "size_bytes": summary.size_bytes,
        "damage": summary.damage,
    }
